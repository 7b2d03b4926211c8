"""What a node answers to the clients of a remote shell, and the sessions that are open.

A client asks by erpc whether there is a shell, for the tick time and for what it prints above the
prompt, and then for the shell itself: ``shell:start/0``, ``iex:start/2`` or
``'Elixir.IEx':start/2``, which return the pid of a new process.  Its group leader, the client's
terminal, comes with the request.

Where the shell is off, there is no such module, and that is what the node says.

Source: user_drv.erl, ``init_remote_shell/3``, of OTP 25, 27 and 29; ``IEx.CLI`` of Elixir 1.14;
iex.erl of Elixir 1.18 and 1.20.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from pynode.errors import RemoteError
from pynode.services.service import acting
from pynode.terms import Atom, Pid, atom, charlist

if TYPE_CHECKING:
    from pynode.process.runtime import Runtime

    from .session import Session

__all__ = ["OTP_RELEASE", "Shell", "system_version"]

_NOFILE: Final = (atom.error, Atom("nofile"))
_MODULE: Final = Atom("module")
_EDLIN_EXPAND: Final = Atom("edlin_expand")
_EXPAND: Final = Atom("expand")
#: The modules of which a client may ask for a shell.
_MODULES: Final = frozenset(map(Atom, ("shell", "iex", "Elixir.IEx")))
#: What clients take this node for, where they ask: who completes with options (26 and later).
OTP_RELEASE: Final = "29"


def system_version(node: Atom) -> list[int]:
    """Return ``system_info(system_version)``: what stands above the prompt."""
    python = sys.version.split()[0]
    return charlist(f"Python {python} [{sys.platform}] [{node}]\n")


class Shell:
    """The shell of one node: off until :meth:`enable`."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        #: None while the shell is off.  Read at the beginning of each session.
        self.names: Mapping[str, Any] | None = None
        #: The open sessions, the oldest first.
        self.sessions: list[Session] = []
        runtime.resolver.build_in("code", "ensure_loaded", 1, self._ensure_loaded)

    def enable(self, names: Mapping[str, Any]) -> None:
        """Open the shell to whoever has the cookie; ``names`` are there beside the usual ones."""
        self.names = names
        resolver = self._runtime.resolver
        for (module, function), (found, arities) in self._functions().items():
            for arity in arities:
                if resolver.entry(Atom(module), Atom(function), arity) is None:
                    resolver.build_in(module, function, arity, found)
        if resolver.entry(_EDLIN_EXPAND, _EXPAND, 1) is None:
            # In a thread: it reads attributes of whatever there is.
            resolver.expose(
                self._expand, module=_EDLIN_EXPAND, name=_EXPAND, arity=(1, 2), blocking=True
            )

    def _functions(self) -> dict[tuple[str, str], tuple[Callable[..., Any], tuple[int, ...]]]:
        return {
            ("shell", "start"): (self._start, (0,)),
            ("iex", "start"): (self._start, (0, 2)),
            ("Elixir.IEx", "start"): (self._start, (0, 2)),
            ("erlang", "system_info"): (self._system_info, (1,)),
            ("application", "get_env"): (self._get_env, (3,)),
        }

    # ------------------------------------------------------------------ what clients ask

    def _ensure_loaded(self, module: Any) -> Any:
        """``code:ensure_loaded/1``, of the shell's modules; there is no other."""
        if self.names is not None and module in _MODULES:
            return _MODULE, module
        return _NOFILE

    def _start(self, options: Any = (), sync: Any = None) -> Pid:
        """Open a session on the terminal that the caller has for its group leader."""
        from .session import Session

        leader = acting(self._runtime).group_leader
        session = Session(self, self._runtime, leader, _proplist(options), sync)
        return self._runtime.spawn(session.run, trap_exit=True).pid

    def _system_info(self, what: Any) -> list[int]:
        if what == Atom("system_version"):
            return system_version(self._runtime.node_name)
        if what == Atom("otp_release"):
            return charlist(OTP_RELEASE)
        raise RemoteError("error", atom.badarg)

    def _get_env(self, application: Any, key: Any, default: Any) -> Any:
        """``application:get_env/3``: nothing is set here."""
        return default

    def _expand(self, before: Any, options: Any = ()) -> Any:
        """``edlin_expand:expand/1,2``: what the Tab key does in the client."""
        from .completion import expand

        node = acting(self._runtime).group_leader.node
        for session in reversed(self.sessions):
            if session.leader.node == node:
                return expand(session.names, before)
        return expand({}, before)


def _proplist(options: Any) -> dict[Any, Any]:
    pairs = options if isinstance(options, list) else []
    return {pair[0]: pair[1] for pair in pairs if isinstance(pair, tuple) and len(pair) == 2}
