"""``node.rpc``: call functions on other nodes, with the words and the results of ``rpc``.

On the wire these are calls of ``erpc``, but for ``block_call`` and ``sbcast``, which the server
``rex`` of the other node serves.  What is different from ``node.erpc``, as in OTP: a thrown term
is a result like any other, and a returned ``{'EXIT', Reason}``, as the old ``catch`` makes it, is
an error.  What would be ``{badrpc, Reason}`` in Erlang is raised, or, where there are several
results, stands in its place as an exception.

Source: rpc.erl.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from pynode.behaviours import gen
from pynode.errors import (
    NO_REPLY,
    CallExit,
    CallTimeout,
    NameError_,
    NoConnection,
    PeerBusy,
    RemoteError,
)
from pynode.process.names import as_atom
from pynode.process.timeouts import check_timeout
from pynode.terms import Atom, ExportFun, OpaqueFun, Pid, atom, copy_term

from .aside import aside
from .described import describe
from .erpc_calls import (
    NO_ARGS,
    Args,
    Called,
    FunctionName,
    ModuleOrFun,
    called,
    each_node,
    remote_error,
)
from .erpc_requests import CallRequest
from .rpc_servers import ask_all, ask_one, broadcast
from .service import acting

if TYPE_CHECKING:
    from pynode.process.process import Process
    from pynode.process.runtime import Runtime

    from .erpc import Erpc

__all__ = ["Rpc"]

_RPC: Final = atom.rpc
_REX: Final = atom.rex
_EXIT: Final = atom("EXIT")
_BADRPC: Final = atom.badrpc
_NODEDOWN: Final = atom.nodedown
_TIMEOUT: Final = atom.timeout


class Rpc:
    """Calls as ``rpc`` makes them."""

    def __init__(self, runtime: Runtime, erpc: Erpc) -> None:
        self._runtime = runtime
        self._erpc = erpc

    # ----------------------------------------------------------------- one node

    async def call(
        self,
        node: Atom | str,
        module: ModuleOrFun,
        function: FunctionName = NO_ARGS,
        args: Args = NO_ARGS,
        *,
        timeout: float | None = None,
        text: bool = False,
    ) -> Any:
        """Like :meth:`Erpc.call <pynode.services.erpc.Erpc.call>`, but a thrown term is returned.

        A returned or thrown ``{'EXIT', Reason}`` is raised as :class:`RemoteError`.
        """
        return await self.call_as(
            acting(self._runtime), node, module, function, args, timeout=timeout, text=text
        )

    async def call_as(
        self,
        process: Process,
        node: Atom | str,
        module: ModuleOrFun,
        function: FunctionName = NO_ARGS,
        args: Args = NO_ARGS,
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
            if error.kind != "throw":
                raise
            value = error.reason
        return _value(value, as_atom(node))

    async def block_call(
        self,
        node: Atom | str,
        module: ModuleOrFun,
        function: FunctionName = NO_ARGS,
        args: Args = NO_ARGS,
        *,
        timeout: float | None = None,
        text: bool = False,
    ) -> Any:
        """Like :meth:`call`, but one after the other: the node's ``rex`` itself runs the function.

        It serves nobody else meanwhile.  A returned ``{badrpc, Reason}`` cannot be told from a
        failure, nor a thrown term from a result.

        Raises:
            RemoteError: it raised or exited.
            NoConnection, CallTimeout, TypeError, EncodeError, PeerBusy: as for :meth:`call`.
            CallExit: ``rex`` ended, or another ``badrpc``.
        """
        process, there = acting(self._runtime), as_atom(node)
        what = called(module, function, args)
        check_timeout(timeout)
        clock = self._runtime.loop.time
        end = None if timeout is None else clock() + timeout
        request = (atom.block_call, *what, process.group_leader)
        try:
            reply = await gen.call(process, (_REX, there), request, timeout, text=text)
        except CallExit as error:
            where = _in_rpc(atom.block_call, there, what)
            raise gen.failed(error, where) from error.__cause__
        try:
            return _block_value(reply, there, what)
        except RemoteError as error:
            await describe(process, error, None if end is None else end - clock())
            raise

    def cast(
        self,
        node: Atom | str,
        module: ModuleOrFun,
        function: FunctionName = NO_ARGS,
        args: Args = NO_ARGS,
    ) -> None:
        """See :meth:`Erpc.cast <pynode.services.erpc.Erpc.cast>`."""
        self._erpc.cast(node, module, function, args)

    # ----------------------------------------------------------------- results fetched later

    def async_call(
        self,
        node: Atom | str,
        module: ModuleOrFun,
        function: FunctionName = NO_ARGS,
        args: Args = NO_ARGS,
        *,
        text: bool = False,
    ) -> CallRequest:
        """Begin a call, and return at once the key by which :meth:`yield_` fetches its result.

        Raises:
            TypeError, EncodeError, PeerBusy: as for :meth:`call`.
        """
        process, what = acting(self._runtime), called(module, function, args)
        return _RpcRequest(process, as_atom(node), what, label=None, text=text)

    async def yield_(self, key: CallRequest) -> Any:
        """Return the result of an :meth:`async_call`; if cancelled, it is given up.

        Raises:
            RemoteError, NoConnection, CallExit: as for :meth:`call`.
        """
        return await key.receive_response()

    async def nb_yield(self, key: CallRequest, timeout: float | None = 0) -> Any:
        """Return the result if it comes within ``timeout`` seconds, else NO_REPLY.

        The key serves again after NO_REPLY, and after cancellation.

        Raises:
            RemoteError, NoConnection, CallExit: as for :meth:`call`.
        """
        check_timeout(timeout)
        try:
            return await key.wait_response(timeout)
        except CallTimeout:
            return NO_REPLY

    # ----------------------------------------------------------------- several nodes

    def _all_nodes(self) -> list[Atom]:
        """``[node() | nodes()]``."""
        runtime = self._runtime
        others = [peer.name for peer in runtime.nodes.connected() if not peer.hidden]
        return [runtime.node_name, *others]

    def _nodes(self, nodes: Iterable[Atom | str] | None) -> list[Atom]:
        return self._all_nodes() if nodes is None else each_node(nodes)

    async def multicall(
        self,
        nodes: Iterable[Atom | str] | None,
        module: ModuleOrFun,
        function: FunctionName = NO_ARGS,
        args: Args = NO_ARGS,
        *,
        timeout: float | None = None,
        text: bool = False,
    ) -> tuple[list[Any], list[Atom]]:
        """Call a function on several nodes at once; return ``(results, bad_nodes)``.

        ``results`` are in the order of the nodes; where a call failed, the exception stands in
        its place, as ``{badrpc, Reason}`` in Erlang.  Bad, and without a result, are nodes that
        cannot be reached, are lost, or have not answered in time.  Which result is whose is told
        by ``node.erpc.multicall``.

        Args:
            nodes: None for this one and all visible ones that it is connected to.
            timeout: seconds for all of them, None for ever.

        Raises:
            TypeError, EncodeError: as for :meth:`call`; nothing was sent.
        """
        outcomes = await self._erpc.multicall(
            self._nodes(nodes), module, function, args, timeout=timeout, text=text
        )
        results: list[Any] = []
        bad: list[Atom] = []
        for node, value, error in outcomes:
            if isinstance(error, NoConnection | CallTimeout):
                bad.append(node)
                continue
            if isinstance(error, RemoteError) and error.kind == "throw":
                value, error = error.reason, None
            try:
                results.append(_value(value, node) if error is None else error)
            except RemoteError as exit_:
                results.append(exit_)
        return results, bad

    async def parallel_eval(
        self, calls: Iterable[Sequence[Any]], *, text: bool = False
    ) -> list[Any]:
        """Run ``(module, function, args)`` after the other on this node and all visible ones.

        They are dealt out in turn, and run at the same time.  Return the results in the order of
        ``calls``; where a call failed, the exception stands in its place.  If cancelled, the
        functions run on and their results are dropped.

        Raises:
            TypeError, EncodeError: of any of the calls; those before it were sent.
        """
        nodes = self._all_nodes()
        keys: list[CallRequest] = []
        try:
            for index, each in enumerate(calls):
                node = nodes[index % len(nodes)]
                await self._runtime.drain(node)
                keys.append(self.async_call(node, *each, text=text))
            return [await _outcome(key) for key in keys]
        finally:
            for key in keys:
                key.close()

    async def pmap(
        self,
        function: ExportFun | OpaqueFun | tuple[Atom | str, Atom | str],
        extra_args: Args,
        items: Iterable[Any],
        *,
        text: bool = False,
    ) -> list[Any]:
        """Return ``function(item, *extra_args)`` of each item, as :meth:`parallel_eval` runs them.

        Args:
            function: ``(module, name)``, or a fun.

        Raises:
            RemoteError, NoConnection, CallExit: of the first item that failed; all were waited for.
            TypeError, EncodeError: as for :meth:`parallel_eval`.
        """
        calls: list[tuple[Any, ...]]
        if isinstance(function, tuple):
            module, name = function
            calls = [(module, name, [item, *extra_args]) for item in items]
        else:
            calls = [(function, [item, *extra_args]) for item in items]
        results = await self.parallel_eval(calls, text=text)
        for result in results:
            if isinstance(result, Exception):
                raise result
        return results

    def eval_everywhere(
        self,
        nodes: Iterable[Atom | str] | None,
        module: ModuleOrFun,
        function: FunctionName = NO_ARGS,
        args: Args = NO_ARGS,
    ) -> None:
        """Have a function run on several nodes, by default on all; nothing comes back.

        See :meth:`multicall` for ``nodes``, and ``node.erpc.multicast`` for the errors.
        """
        self._erpc.multicast(self._nodes(nodes), module, function, args)

    # ----------------------------------------------------------------- named servers

    def abcast(self, nodes: Iterable[Atom | str] | None, name: Atom | str, message: Any) -> None:
        """Send ``message`` to what is registered as ``name`` on several nodes, by default on all.

        What is not there, and a node that is not, or that has too much waiting, gets nothing.

        Raises:
            TypeError: a name that is none.
            EncodeError: ``message`` is no term; nothing was sent.
        """
        process, registered = acting(self._runtime), as_atom(name)
        wanted = self._nodes(nodes)
        copy_term(message)
        for node in wanted:
            with suppress(NameError_, PeerBusy):
                self._runtime.send(process, (registered, node), message)

    async def sbcast(
        self,
        nodes: Iterable[Atom | str] | None,
        name: Atom | str,
        message: Any,
        *,
        timeout: float | None = None,
    ) -> tuple[list[Atom], list[Atom]]:
        """Like :meth:`abcast`, and wait: return the nodes where it was delivered, and the others.

        Args:
            timeout: seconds, None for ever; who has not answered by then is among the others.

        Raises:
            TypeError, EncodeError: as for :meth:`abcast`.
        """
        check_timeout(timeout)
        wanted = self._nodes(nodes)
        copy_term(message)
        return await aside(
            acting(self._runtime), broadcast, wanted, as_atom(name), message, timeout=timeout
        )

    async def server_call(
        self,
        node: Atom | str,
        name: Atom | str,
        reply_wrapper: Any,
        message: Any,
        *,
        timeout: float | None = None,
    ) -> Any:
        """Send ``{Pid, Message}`` to a server on ``node``; return the ``Reply`` it answers with.

        The answer is ``{ReplyWrapper, Node, Reply}``, to ``Pid``, which exists for this alone.

        Raises:
            NoProcess: there is no such server.
            NoConnection, CallTimeout, TypeError, EncodeError, PeerBusy: as for :meth:`call`.
            CallExit: it ended before it answered.
        """
        check_timeout(timeout)
        return await aside(
            acting(self._runtime), ask_one, as_atom(node), as_atom(name), reply_wrapper, message,
            timeout=timeout,
        )  # fmt: skip

    async def multi_server_call(
        self,
        nodes: Iterable[Atom | str] | None,
        name: Atom | str,
        message: Any,
        *,
        timeout: float | None = None,
    ) -> tuple[list[Any], list[Atom]]:
        """Send ``{Pid, Message}`` to the servers called ``name``; return ``(replies, bad_nodes)``.

        Each answers ``{Name, Node, Reply}``; the replies are in the order of the nodes.

        Raises:
            TypeError, EncodeError: as for :meth:`abcast`.
        """
        check_timeout(timeout)
        wanted, registered = self._nodes(nodes), as_atom(name)
        copy_term(message)
        answers = await aside(
            acting(self._runtime), ask_all, wanted, registered, registered, message,
            timeout=timeout,
        )  # fmt: skip
        replies = [answers[node] for node in wanted if node in answers]
        return replies, [node for node in wanted if node not in answers]

    # ----------------------------------------------------------------- processes

    async def pinfo(
        self,
        pid: Pid,
        item: Any = None,
        *,
        timeout: float | None = None,
        text: bool = False,
    ) -> Any:
        """Return facts about a process of any node (``process_info``), None if it has ended.

        A dict, by the names of the facts; of one ``item``, its value alone.

        Args:
            item: the name of a fact, or several in a list; None for the usual ones.

        Raises:
            RemoteError: there is no such fact.
            NoConnection, CallTimeout, CallExit: as for :meth:`call`.
        """
        check_timeout(timeout)
        if self._runtime.is_own(pid):
            return _own_info(self._runtime.process_info(pid), item)
        args = [pid] if item is None else [pid, _items(item)]
        found = await self.call(
            pid.node, atom.erlang, atom.process_info, args, timeout=timeout, text=text
        )
        if found == atom.undefined:
            return None
        if item is None or isinstance(item, list):
            return {_key(name): value for name, value in found}
        return found[1] if isinstance(found, tuple) else found  # [] for a process without a name


class _RpcRequest(CallRequest):
    """A call whose result is read as rpc's."""

    __slots__ = ()

    def meant(self, value: Any) -> Any:
        return _value(value, self.dest)

    def _raised(self, error: RemoteError) -> None:
        if error.kind == "throw":
            try:
                self._decide(_value(error.reason, self.dest), None)
                return
            except RemoteError as exit_:
                error = exit_
        super()._raised(error)


async def _outcome(key: CallRequest) -> Any:
    try:
        return await key.wait_response()
    except (CallExit, RemoteError) as error:
        return error


# --------------------------------------------------------------------------- results


def _value(value: Any, node: Atom) -> Any:
    """Return a result, or raise what is in ``{'EXIT', Reason}``."""
    match value:
        case (tag, reason) if tag == _EXIT:
            raise _exit_error(reason, node)
    return value


def _block_value(reply: Any, node: Atom, what: Called) -> Any:
    """Return what ``rex`` replies, or raise what is in ``{badrpc, Reason}``."""
    match reply:
        case (tag, (exit_, reason)) if tag == _BADRPC and exit_ == _EXIT:
            raise _exit_error(reason, node)
        case (tag, reason) if tag == _BADRPC:
            where = _in_rpc(atom.block_call, node, what)
            if reason == _NODEDOWN:
                reason = _NODEDOWN, node
            raise gen.call_exit(reason, where)
    return reply


def _exit_error(reason: Any, node: Atom) -> RemoteError:
    """``{Reason, Stack}`` is an error, as for whoever reads it in a shell; else it is an exit."""
    match reason:
        case (error, [_, *_] as stack) if all(_is_frame(frame) for frame in stack):
            return remote_error("error", error, stack, node)
    return remote_error("exit", reason, [], node)


def _is_frame(term: Any) -> bool:
    match term:
        case (_, _, int() | list(), list()) | (_, int() | list(), list()):
            return True
    return False


def _in_rpc(word: Atom, node: Atom, what: Called) -> Any:
    return _RPC, word, [node, *what]


# --------------------------------------------------------------------------- facts


def _items(item: Any) -> Any:
    if isinstance(item, list):
        return [_items(each) for each in item]
    return as_atom(item) if isinstance(item, str) else item


def _key(name: Any) -> Any:
    return name.name if type(name) is Atom else name


def _own_info(facts: dict[str, Any] | None, item: Any) -> Any:
    if facts is None or item is None:
        return facts
    wanted = [_key(each) for each in (item if isinstance(item, list) else [item])]
    unknown = [name for name in wanted if name not in facts]
    if unknown:
        raise RemoteError("error", atom.badarg)
    return {name: facts[name] for name in wanted} if isinstance(item, list) else facts[wanted[0]]
