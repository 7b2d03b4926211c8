"""``node.erpc`` and ``node.rpc``: call functions on other nodes.

A call spawns ``erpc:execute_call/4`` there with a monitor; the exit reason is the answer.  Both
namespaces do the same on the wire and differ in one thing, as in OTP: for ``rpc`` a thrown term
is a result like any other.

A function name may be a str, which is an atom here: ``call(node, "Elixir.Enum", "sum", [[1]])``.

Source: erpc.erl, ``call/5``, ``result/4``; rpc.erl.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pynode.errors import CallExit, RemoteError
from pynode.terms import Atom, Reference, atom, copy_term

from .entry import execute_cast
from .evaluate import ERROR, EXIT, RETURN, THROW
from .service import acting

if TYPE_CHECKING:
    from pynode.process.process import Process
    from pynode.process.runtime import Runtime

__all__ = ["Erpc", "Rpc"]

_ERPC: Final = atom.erpc
_EXECUTE_CALL: Final = atom.execute_call
_EXECUTE_CAST: Final = atom.execute_cast

_EXIT_TERM: Final = atom("EXIT")
_PYTHON: Final[dict[str, Any]] = {"true": True, "false": False, "nil": None}


def _atom(name: Any) -> Any:
    if isinstance(name, str):
        return _PYTHON[name] if name in _PYTHON else Atom(name)
    return name


class Erpc:
    """Calls as ``erpc`` makes them."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def call(
        self,
        node: Atom | str,
        module: Atom | str,
        function: Atom | str,
        args: list[Any] | tuple[Any, ...] = (),
        *,
        timeout: float | None = None,
        text: bool = False,
    ) -> Any:
        """Call ``module:function(*args)`` on ``node`` and return its value.

        If cancelled, or after ``timeout`` seconds, the function runs on over there and its result
        is dropped.  ``text`` decodes the UTF-8 binaries of the result to str.

        Raises:
            RemoteError: it raised, threw or exited; ``kind`` tells which.  A function that does
                not exist there is an error ``undef``.
            NoConnection: the node cannot be reached, or was lost meanwhile.
            CallTimeout: no result in time.
            CallExit: the process over there was ended from outside, with ``reason``.
            EncodeError: ``args`` is no term; nothing was sent.
        """
        process = acting(self._runtime)
        return await self.call_as(process, node, module, function, args, timeout=timeout, text=text)

    async def call_as(
        self,
        process: Process,
        node: Atom | str,
        module: Atom | str,
        function: Atom | str,
        args: list[Any] | tuple[Any, ...] = (),
        *,
        timeout: float | None = None,
        text: bool = False,
    ) -> Any:
        """Like :meth:`call`, as ``process``."""
        ref = self._runtime.make_ref()
        arguments = [ref, _atom(module), _atom(function), list(args)]
        try:
            with self._runtime.open_spawn(
                process, _atom(node), _ERPC, _EXECUTE_CALL, arguments, text=text
            ) as slot:
                return _result(ref, await slot.wait(timeout))
        except CallExit as error:
            called = (atom.erpc, atom.call, [_atom(node), *arguments[1:]])
            raise type(error)(error.reason, called) from None

    def cast(
        self,
        node: Atom | str,
        module: Atom | str,
        function: Atom | str,
        args: list[Any] | tuple[Any, ...] = (),
    ) -> None:
        """Have ``module:function(*args)`` run on ``node``; whatever becomes of it is not told.

        Raises:
            EncodeError: ``args`` is no term; nothing was sent.
            PeerBusy: too much is waiting for that node.
        """
        runtime, process = self._runtime, acting(self._runtime)
        arguments = [_atom(module), _atom(function), list(args)]
        if _atom(node) == runtime.node_name:
            runtime.spawn(execute_cast, *copy_term(arguments))
            return
        ref = runtime.spawn_request(process, _atom(node), _ERPC, _EXECUTE_CAST, arguments)
        runtime.spawn_request_abandon(process, ref)  # for its reply, which nobody reads


class Rpc:
    """Calls as ``rpc`` makes them."""

    def __init__(self, runtime: Runtime, erpc: Erpc) -> None:
        self._runtime = runtime
        self._erpc = erpc

    async def call(
        self,
        node: Atom | str,
        module: Atom | str,
        function: Atom | str,
        args: list[Any] | tuple[Any, ...] = (),
        *,
        timeout: float | None = None,
        text: bool = False,
    ) -> Any:
        """Like :meth:`Erpc.call`, but a thrown term is returned.

        What would be ``{badrpc, Reason}`` in Erlang is raised; that is also a returned
        ``{'EXIT', Reason}``, as the old ``catch`` makes it, as ``RemoteError("exit", Reason)``.
        """
        process = acting(self._runtime)
        return await self.call_as(process, node, module, function, args, timeout=timeout, text=text)

    async def call_as(
        self,
        process: Process,
        node: Atom | str,
        module: Atom | str,
        function: Atom | str,
        args: list[Any] | tuple[Any, ...] = (),
        *,
        timeout: float | None = None,
        text: bool = False,
    ) -> Any:
        """Like :meth:`call`, as ``process``."""
        try:
            value = await self._erpc.call_as(
                process, node, module, function, args, timeout=timeout, text=text
            )
        except RemoteError as error:
            if error.kind == "throw":
                return error.reason
            raise
        match value:
            case (tag, reason) if tag == _EXIT_TERM:
                raise RemoteError("exit", reason)
        return value

    def cast(
        self,
        node: Atom | str,
        module: Atom | str,
        function: Atom | str,
        args: list[Any] | tuple[Any, ...] = (),
    ) -> None:
        """See :meth:`Erpc.cast`."""
        self._erpc.cast(node, module, function, args)


def _result(ref: Reference, reason: Any) -> Any:
    """Read the exit reason of ``erpc:execute_call/4``."""
    if isinstance(reason, tuple) and reason and reason[0] == ref:
        match reason[1:]:
            case (kind, value) if kind == RETURN:
                return value
            case (kind, value) if kind == THROW:
                raise RemoteError("throw", value)
            case (kind, value) if kind == EXIT:
                raise RemoteError("exit", value)
            case (kind, value, stack) if kind == ERROR:
                raise RemoteError("error", value, stack)
            case (kind, value) if kind == ERROR:
                raise RemoteError("error", value)
    raise CallExit((atom.signal, reason))
