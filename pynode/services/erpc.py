"""``node.erpc``: call functions on other nodes, and know what became of it.

Every call runs in a process of its own, on this node too (as OTP's option ``always_spawn`` has
it).  What is called is a module and a function, or an :class:`pynode.terms.ExportFun`; a str that
names a node, a module or a function is an atom: ``call(node, "Elixir.Enum", "sum", [[1]])``.  A
fun that a BEAM made, :class:`pynode.terms.OpaqueFun`, can be called on the nodes that have its
module.

Which exception stands for what is the table in :mod:`.erpc_calls`.  An error of another node is
told in that node's own words (:mod:`.described`), for which it is asked once more.

Source: erpc.erl.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, overload

from pynode.behaviours.requests import Answer, Request, Requests
from pynode.errors import CallExit, PynodeError, RemoteError
from pynode.process.names import as_atom
from pynode.process.timeouts import check_timeout
from pynode.terms import Atom, atom, copy_term

from .described import describe
from .entry import execute_cast
from .erpc_calls import (
    NO_ARGS,
    Args,
    Called,
    FunctionName,
    ModuleOrFun,
    called,
    each_node,
    in_call,
    open_call,
    read_reason,
    time_left,
)
from .erpc_requests import CallRequest, NodeResult
from .service import acting

if TYPE_CHECKING:
    from pynode.process.process import Process
    from pynode.process.runtime import Runtime

__all__ = ["Erpc"]


class Erpc:
    """Calls as ``erpc`` makes them."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    # ----------------------------------------------------------------- one node

    async def call(
        self,
        node: Atom | str,
        module: ModuleOrFun,
        function: FunctionName = NO_ARGS,
        args: Args = NO_ARGS,
        *,
        timeout: float | None = None,
        deadline: float | None = None,
        text: bool = False,
    ) -> Any:
        """Call ``module:function(*args)``, or ``fun(*args)``, on ``node`` and return its value.

        If cancelled, or after the timeout, the function runs on over there and its result is
        dropped.

        Args:
            node: any node, this one too; it is connected to.
            module: or a fun, with the list of arguments next.
            timeout: seconds, None for ever.
            deadline: instead of ``timeout``, a time of the loop's clock (``time.monotonic()``).
            text: decode the UTF-8 binaries of the result to str.

        Raises:
            RemoteError: it raised, threw or exited; ``kind`` tells which.  A function that does
                not exist there is an error ``undef``.
            NoConnection: the node cannot be reached, or was lost meanwhile.
            CallTimeout: no result in time.
            CallExit: the process over there was ended from outside, with reason
                ``{signal, Reason}``; or ``notsup``: the node cannot run functions for others; or
                ``system_limit``.
            TypeError: a name that is none, arguments that are no list, a timeout that is no number.
            ValueError: a timeout that is negative, or one beside a deadline.
            EncodeError: ``args`` is no term; nothing was sent.
            PeerBusy: too much is waiting for that node; nothing was sent.
        """
        return await self.call_as(
            acting(self._runtime), node, module, function, args,
            timeout=timeout, deadline=deadline, text=text,
        )  # fmt: skip

    async def call_as(
        self,
        process: Process,
        node: Atom | str,
        module: ModuleOrFun,
        function: FunctionName = NO_ARGS,
        args: Args = NO_ARGS,
        *,
        timeout: float | None = None,
        deadline: float | None = None,
        text: bool = False,
    ) -> Any:
        """Like :meth:`call`, as ``process``."""
        there, what = as_atom(node), called(module, function, args)
        clock = self._runtime.loop.time
        timeout = time_left(self._runtime, timeout, deadline)
        end = None if timeout is None else clock() + timeout
        ref, slot = open_call(process, there, what, text=text)
        try:
            with slot:
                return read_reason(ref, await slot.wait(timeout), there)
        except RemoteError as error:
            await describe(process, error, None if end is None else end - clock())
            raise
        except CallExit as error:
            raise in_call(error, there, what) from error.__cause__

    def cast(
        self,
        node: Atom | str,
        module: ModuleOrFun,
        function: FunctionName = NO_ARGS,
        args: Args = NO_ARGS,
    ) -> None:
        """Have a function run on ``node``; whatever becomes of it is not told.

        Raises:
            TypeError: as for :meth:`call`.
            EncodeError: ``args`` is no term; nothing was sent.
            PeerBusy: too much is waiting for that node.
        """
        self._cast(acting(self._runtime), as_atom(node), called(module, function, args))

    def _cast(self, process: Process, node: Atom, what: Called) -> None:
        runtime = self._runtime
        if node == runtime.node_name:
            runtime.spawn(execute_cast, *copy_term(list(what)))
            return
        ref = runtime.spawn_request(process, node, atom.erpc, atom.execute_cast, list(what))
        runtime.spawn_request_abandon(process, ref)  # for its reply, which nobody reads

    # ----------------------------------------------------------------- several nodes

    async def multicall(
        self,
        nodes: Iterable[Atom | str],
        module: ModuleOrFun,
        function: FunctionName = NO_ARGS,
        args: Args = NO_ARGS,
        *,
        timeout: float | None = None,
        deadline: float | None = None,
        text: bool = False,
    ) -> list[NodeResult]:
        """Call a function on several nodes at once; return the results in their order.

        Nothing is raised for a single node: its result has ``error`` set to what :meth:`call`
        would have raised.  Options, and what holds for cancellation, as for :meth:`call`.

        Raises:
            TypeError: as for :meth:`call`; nothing was sent.
            EncodeError: ``args`` is no term; nothing was sent.
        """
        runtime, process = self._runtime, acting(self._runtime)
        timeout = time_left(runtime, timeout, deadline)
        end = None if timeout is None else runtime.loop.time() + timeout
        what = called(module, function, args)
        wanted = each_node(nodes)
        copy_term(what.args)
        requests: list[tuple[Atom, CallRequest | PynodeError]] = []
        try:
            for node in wanted:
                requests.append((node, _sent(process, node, what, text)))
            return [
                NodeResult(node, *await _outcome(request, time_left(runtime, None, end)))
                for node, request in requests
            ]
        finally:
            for _, request in requests:
                if isinstance(request, CallRequest):
                    request.close()

    def multicast(
        self,
        nodes: Iterable[Atom | str],
        module: ModuleOrFun,
        function: FunctionName = NO_ARGS,
        args: Args = NO_ARGS,
    ) -> None:
        """Have a function run on several nodes; whatever becomes of it is not told.

        Raises:
            TypeError, EncodeError: as for :meth:`cast`; nothing was sent.
            PeerBusy: too much is waiting for one of them; the others were sent to.
        """
        process, what = acting(self._runtime), called(module, function, args)
        wanted = each_node(nodes)
        failed: PynodeError | None = None
        for node in wanted:
            try:
                self._cast(process, node, what)
            except PynodeError as error:
                failed = failed or error
        if failed is not None:
            raise failed

    # ----------------------------------------------------------------- results fetched later

    def send_request(
        self,
        node: Atom | str,
        module: ModuleOrFun,
        function: FunctionName = NO_ARGS,
        args: Args = NO_ARGS,
        *,
        label: Any = None,
        collection: Requests | None = None,
        text: bool = False,
    ) -> CallRequest:
        """Begin a call, and return at once; the result is fetched from the request.

        Args:
            label: comes back with the answer from a collection.
            collection: the :class:`Requests` it is added to.
            text: decode the UTF-8 binaries of the result to str.

        Raises:
            TypeError, EncodeError, PeerBusy: as for :meth:`call`.
        """
        made = CallRequest(
            acting(self._runtime), as_atom(node), called(module, function, args),
            label=label, text=text,
        )  # fmt: skip
        if collection is not None:
            collection.add(made)
        return made

    @overload
    async def receive_response(
        self,
        request: Request,
        timeout: float | None = None,
        *,
        deadline: float | None = None,
        delete: bool = True,
    ) -> Any: ...
    @overload
    async def receive_response(
        self,
        request: Requests,
        timeout: float | None = None,
        *,
        deadline: float | None = None,
        delete: bool = True,
    ) -> Answer | None: ...
    async def receive_response(
        self,
        request: Request | Requests,
        timeout: float | None = None,
        *,
        deadline: float | None = None,
        delete: bool = True,
    ) -> Any:
        """Return the result of a request, or the next answer of a collection.

        After the timeout, or when cancelled, the request is given up, or all of the collection.

        Args:
            timeout: seconds, None for ever.
            deadline: instead of ``timeout``, a time of the loop's clock (``time.monotonic()``).
            delete: take the answered request out of the collection.

        Raises:
            CallTimeout: there is none in time.
            RemoteError, NoConnection, CallExit: as for :meth:`call`, of a single request; that of
                a collection's is in the answer.
        """
        left = time_left(self._runtime, timeout, deadline)
        if isinstance(request, Requests):
            return await request.receive_response(left, delete=delete)
        return await request.receive_response(left)

    @overload
    async def wait_response(
        self,
        request: Request,
        timeout: float | None = 0,
        *,
        deadline: float | None = None,
        delete: bool = True,
    ) -> Any: ...
    @overload
    async def wait_response(
        self,
        request: Requests,
        timeout: float | None = 0,
        *,
        deadline: float | None = None,
        delete: bool = True,
    ) -> Answer | None: ...
    async def wait_response(
        self,
        request: Request | Requests,
        timeout: float | None = 0,
        *,
        deadline: float | None = None,
        delete: bool = True,
    ) -> Any:
        """Like :meth:`receive_response`, but the request outlives a timeout and cancellation."""
        check_timeout(timeout)
        if deadline is not None:
            timeout = time_left(self._runtime, None, deadline)
        if isinstance(request, Requests):
            return await request.wait_response(timeout, delete=delete)
        return await request.wait_response(timeout)

    def check_response(self, request: Request | Requests, *, delete: bool = True) -> Any:
        """Return what is here already: a result, else NO_REPLY; an :class:`Answer`, else None.

        Raises:
            RemoteError, NoConnection, CallExit: as for :meth:`call`, of a single request.
        """
        if isinstance(request, Requests):
            return request.check_response(delete=delete)
        return request.check_response()

    def reqids_new(self) -> Requests:
        """Return an empty collection of requests; its ``close()`` gives all of them up."""
        return Requests()

    def reqids_add(self, request: Request, label: Any, collection: Requests) -> Requests:
        """Add a request under a label, and return the collection.

        Raises:
            ValueError: it is in the collection already.
        """
        collection.add(request)
        request.label = label
        return collection

    def reqids_size(self, collection: Requests) -> int:
        """Return how many requests there are."""
        return len(collection)

    def reqids_to_list(self, collection: Requests) -> list[tuple[Request, Any]]:
        """Return the requests with their labels."""
        return [(request, request.label) for request in collection]


def _sent(process: Process, node: Atom, what: Called, text: bool) -> CallRequest | PynodeError:
    try:
        return CallRequest(process, node, what, label=None, text=text)
    except PynodeError as error:  # a queue that is full, or a term that this node cannot read
        return error


async def _outcome(
    request: CallRequest | PynodeError, timeout: float | None
) -> tuple[Any, PynodeError | None]:
    if isinstance(request, PynodeError):
        return None, request
    try:
        return await request.wait_response(timeout), None
    except (CallExit, RemoteError) as error:
        return None, error
