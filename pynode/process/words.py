"""The atoms that signals and their messages are made of."""

from __future__ import annotations

from typing import Final

from pynode.terms.atom import Atom

ALIAS: Final = Atom("alias")
BADOPT: Final = Atom("badopt")
DOWN: Final = Atom("DOWN")
ERROR: Final = Atom("error")
EXIT: Final = Atom("EXIT")
FUNCTION_CLAUSE: Final = Atom("function_clause")
IO_REPLY: Final = Atom("io_reply")
KILL: Final = Atom("kill")
KILLED: Final = Atom("killed")
#: What is left of a process in a forked child.
LEFT_BEHIND: Final = Atom("left_behind")
NOCONNECTION: Final = Atom("noconnection")
NODEDOWN: Final = Atom("nodedown")
NODEUP: Final = Atom("nodeup")
NOPROC: Final = Atom("noproc")
NORMAL: Final = Atom("normal")
NOTSUP: Final = Atom("notsup")
OK: Final = Atom("ok")
PROCESS: Final = Atom("process")
PYTHON_ERROR: Final = Atom("python_error")
SHUTDOWN: Final = Atom("shutdown")
SPAWN_REPLY: Final = Atom("spawn_reply")
SYSTEM_LIMIT: Final = Atom("system_limit")
TIMEOUT: Final = Atom("timeout")
UNDEF: Final = Atom("undef")
UNDEFINED: Final = Atom("undefined")
