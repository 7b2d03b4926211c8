"""proc_lib: processes that say when they have begun, on both sides of a connection.

A process that ``proc_lib`` has spawned here (``proc_lib:spawn_link(Node, M, F, Args)`` of a BEAM,
or :func:`spawn` below) runs an exposed function, and has ``'$ancestors'`` and ``'$initial_call'``
in its dictionary.  The function says that it has begun by :func:`init_ack`, or that it has not by
:func:`init_fail`; an exposed server class does so by itself.  So a supervisor of a BEAM can have a
child here, by a start function of its own side::

    start_link(Node, Args) ->
        Pid = proc_lib:spawn_link(Node, 'Elixir.Counter', start_link, Args),
        receive {ack, Pid, Ret} -> Ret; {nack, Pid, Ret} -> Ret end.

Source: stdlib's ``proc_lib`` (25, 27, 29).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NoReturn

from pynode.behaviours.starting import start as _start_server
from pynode.behaviours.words import ACK, ANCESTORS, DOWN, ERROR, INITIAL_CALL, KILL, OK, TIMEOUT
from pynode.errors import Exit, StartError, StartIgnored
from pynode.process.current import act
from pynode.process.names import as_atom
from pynode.process.spawn import ASKER
from pynode.process.timeouts import check_timeout
from pynode.terms import Atom, Pid

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pynode.behaviours.starting import Startable
    from pynode.process.process import Process

__all__ = ["ServerStart", "init_ack", "init_fail", "initial_call", "spawn", "start"]

_PROC_LIB: Final = Atom("proc_lib")
_INIT_P: Final = Atom("init_p")
_NACK: Final = Atom("nack")
_IGNORE: Final = Atom("ignore")


# --------------------------------------------------------------------------- the one that begins


def init_ack(result: Any, parent: Pid | None = None) -> None:
    """Tell the one that started the current process that it has begun (``init_ack/1,2``).

    Sends ``{ack, Pid, Result}``; ``result`` is what its ``start`` returns, by custom
    ``{ok, Pid}``.

    Args:
        parent: default: the first of ``'$ancestors'``.

    Raises:
        RuntimeError: no process runs here, or proc_lib has not started it.
    """
    act(_tell, ACK, result, parent)


def init_fail(result: Any, reason: Any, parent: Pid | None = None) -> NoReturn:
    """Tell that the current process has not begun, and end it (``init_fail/2,3``, OTP 26).

    Sends ``{nack, Pid, Result}``, upon which ``start`` waits for the end and returns ``result``;
    one of OTP 25 does not know it, and takes the end for the answer.

    Raises:
        Exit: with ``reason``.
        RuntimeError: as :func:`init_ack`.
    """
    act(_tell, _NACK, result, parent)
    raise Exit(reason)


def _tell(process: Process, word: Atom, result: Any, parent: Pid | None) -> None:
    to: Any = parent
    if to is None:
        ancestors = [] if process.rare is None else process.dictionary.get(ANCESTORS, [])
        if not ancestors:
            raise RuntimeError(f"{process!r} was not started by proc_lib, so nobody waits for it")
        to = ancestors[0]
        if type(to) is not Pid:  # the name of a process, of a node that is not told
            to = process.context.get(ASKER, to)
    process.runtime.send(process, to, (word, process.pid, result))


def initial_call(process: Process) -> tuple[Any, Any, int] | None:
    """Return ``(module, function, arity)`` that a process of this node was started with, if told.

    See ``proc_lib:initial_call/1``.
    """
    body: Any = process.body
    if hasattr(body, "dictionary"):
        found: Any = body.dictionary().get(INITIAL_CALL)
    else:
        found = None if process.rare is None else process.dictionary.get(INITIAL_CALL)
    return found if type(found) is tuple and len(found) == 3 else None


# --------------------------------------------------------------------------- the one that starts


async def spawn(
    process: Process,
    node: Atom | str,
    module: Atom | str,
    function: Atom | str,
    args: Iterable[Any] = (),
    *,
    link: bool = False,
) -> Pid:
    """Spawn ``module:function(*args)`` on any node as ``proc_lib:spawn/4`` does.

    Raises:
        NoConnection: the node cannot be reached.
        CallExit: it refuses.
    """
    request = _request(process, module, function, args)
    pid, _ = await process.runtime.spawn_remote(
        process, node, _PROC_LIB, _INIT_P, request, link=link
    )
    return pid


def _request(
    process: Process, module: Atom | str, function: Atom | str, args: Iterable[Any]
) -> list[Any]:
    name = process.pid if process.name is None else process.name
    return [name, _ancestors(process), as_atom(module), as_atom(function), list(args)]


async def start(
    process: Process,
    node: Atom | str,
    module: Atom | str,
    function: Atom | str,
    args: Iterable[Any] = (),
    timeout: float | None = None,
    *,
    link: bool = False,
) -> Any:
    """Like :func:`spawn`, and wait for the process's ``init_ack``; return what that tells.

    As ``proc_lib:start/5``, which is for one's own node.

    Raises:
        StartError: it ended without a word, with its reason; or ``timeout`` seconds passed, and
            it was killed.
        NoConnection: the node cannot be reached.
    """
    check_timeout(timeout)
    runtime = process.runtime
    request = _request(process, module, function, args)
    request[0] = process.pid  # to whom init_ack/1 sends
    pid, watch = await runtime.spawn_remote(
        process, node, _PROC_LIB, _INIT_P, request, link=link, monitor=True
    )

    def is_answer(message: Any) -> bool:
        if type(message) is not tuple:
            return False
        if len(message) == 3:
            return bool(message[1] == pid and message[0] in (ACK, _NACK))
        return bool(len(message) == 5 and message[0] == DOWN and message[1] == watch)

    try:
        message = await process.receive(is_answer, timeout=timeout)
        if message[0] == _NACK:
            await process.receive(lambda each: is_answer(each) and len(each) == 5)
    except BaseException as error:
        if process.alive:
            runtime.unlink(process, pid)
            runtime.exit(process, pid, KILL)
        if isinstance(error, TimeoutError):
            raise StartError(TIMEOUT) from None
        raise
    finally:
        if process.alive:
            runtime.demonitor(process, watch, flush=True)
    if message[0] == DOWN:
        raise StartError(message[4])
    return message[2]


def _ancestors(process: Process) -> list[Any]:
    body: Any = process.body
    if hasattr(body, "ancestors"):
        return list(body.ancestors)
    known: list[Any] = [] if process.rare is None else process.dictionary.get(ANCESTORS, [])
    return known


# --------------------------------------------------------------------------- servers


class ServerStart:
    """A server class as a function for ``resolver.expose``, to be started from other nodes.

    ``resolver.expose(ServerStart(Counter), module="Elixir.Counter", name="start_link", arity=1)``

    - by a supervisor, of this node or asked from another: as its child;
    - by ``proc_lib:spawn_link(Node, 'Elixir.Counter', start_link, Args)``: it is that process, and
      acknowledges;
    - by ``rpc`` and ``erpc``: unlinked, for the process that starts it ends; the answer is
      ``{ok, Pid}``, ``ignore`` or ``{error, Reason}``.

    Args:
        server: the class.
        options: for its start: ``name``, ``timeout``, and keywords of its ``init``.
    """

    def __init__(self, server: Startable, **options: Any) -> None:
        self._server = server
        #: The name that it is started under.
        self.server_name = options.pop("name", None)
        self._timeout = options.pop("timeout", None)
        self._options = options
        self._text = server._text
        self.__name__ = "start_link"

    def _make_body(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        body = self._server._make_body(args, self._options | kwargs)
        body.name = self.server_name
        return body

    async def __call__(self, *args: Any) -> Any:
        """Start it, unlinked."""
        try:
            pid = await act(self._start, args)
        except StartIgnored:
            return _IGNORE
        except StartError as error:
            return (ERROR, error.reason)
        return (OK, pid)

    def _start(self, process: Process, args: tuple[Any, ...]) -> Any:
        return _start_server(
            process.runtime,
            self._server,
            *args,
            name=self.server_name,
            timeout=self._timeout,
            **self._options,
        )
