"""The atoms of gen, gen_event and sys, made once: an identity check comes before a comparison."""

from __future__ import annotations

from typing import Final

from pynode.terms.atom import Atom

#: Seconds that a call waits where nothing is said of it.
CALL_TIMEOUT: Final = 5.0

GEN_CALL: Final = Atom("$gen_call")
GEN_CAST: Final = Atom("$gen_cast")
SYSTEM: Final = Atom("system")
EXIT: Final = Atom("EXIT")
DOWN: Final = Atom("DOWN")
NOTIFY: Final = Atom("notify")
ALIAS: Final = Atom("alias")
PROCESS: Final = Atom("process")

ANCESTORS: Final = Atom("$ancestors")
INITIAL_CALL: Final = Atom("$initial_call")

OK: Final = Atom("ok")
ERROR: Final = Atom("error")
NORMAL: Final = Atom("normal")
SHUTDOWN: Final = Atom("shutdown")
STOP: Final = Atom("stop")
TERMINATE: Final = Atom("terminate")
TIMEOUT: Final = Atom("timeout")
INFINITY: Final = Atom("infinity")
UNDEFINED: Final = Atom("undefined")
NOPROC: Final = Atom("noproc")
NOCONNECTION: Final = Atom("noconnection")
NODEDOWN: Final = Atom("nodedown")
CALLING_SELF: Final = Atom("calling_self")
KILL: Final = Atom("kill")
UNDEF: Final = Atom("undef")
IGNORE: Final = Atom("ignore")
ALREADY_STARTED: Final = Atom("already_started")
ACK: Final = Atom("ack")

GEN_SERVER: Final = Atom("gen_server")
GEN_STATEM: Final = Atom("gen_statem")
GEN_EVENT: Final = Atom("gen_event")
SYS: Final = Atom("sys")
CALL: Final = Atom("call")
GLOBAL: Final = Atom("global")
VIA: Final = Atom("via")
