"""Calls of functions whose results are fetched later, and results of calls on several nodes.

A :class:`CallRequest` is under way until its result is here; where that is an error of another
node, until its words are here too, or the time for them is over.

Source: erpc.erl, ``send_request/4``, ``collection_result/6``, ``multicall/5``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from pynode.behaviours.requests import Request
from pynode.errors import CallExit, CallTimeout, PynodeError, RemoteError

from .described import describe, is_described
from .erpc_calls import Called, in_call, open_call, read_reason

if TYPE_CHECKING:
    from pynode.process.calls import CallSlot
    from pynode.process.process import Process
    from pynode.terms import Atom

__all__ = ["CallRequest", "NodeResult"]


class CallRequest(Request):
    """One call under way, made by ``node.erpc.send_request`` or ``node.rpc.async_call``.

    ``dest`` is the node.  Given up with :meth:`close`; the function runs on over there.
    """

    __slots__ = ("_callbacks", "_done", "_failure", "_function", "_process", "_value")

    def __init__(
        self, process: Process, node: Atom, function: Called, *, label: Any, text: bool
    ) -> None:
        super().__init__(node, label)
        self._process = process
        self._function = function
        self._done = False
        self._value: Any = None
        self._failure: Exception | None = None
        self._callbacks: list[Callable[[Any], object]] = []
        ref, slot = open_call(process, node, function, text=text)
        self._slot = slot

        def answered(_: CallSlot) -> None:
            try:
                self._decide(self.meant(read_reason(ref, slot.result(), node)), None)
            except RemoteError as error:
                self._raised(error)
            except CallExit as error:
                self._decide(None, in_call(error, node, function))
            except (PynodeError, RuntimeError) as error:  # the caller is dead; or it was closed
                self._decide(None, error)

        slot.add_done_callback(answered)

    def meant(self, value: Any) -> Any:
        """Return what a returned value means."""
        return value

    def _raised(self, error: RemoteError) -> None:
        self._failure = error
        runtime = self._process.runtime
        if is_described(error) or error.node == runtime.node_name or runtime.stopping:
            self._decide(None, error)
            return
        # Nobody may be waiting, so the question is asked by a process of its own.
        helper = runtime.context.copy().run(runtime.spawn, _described, error)
        helper.extra.on_death[self] = lambda ended: self._decide(None, error)

    def _decide(self, value: Any, failure: Exception | None) -> None:
        if self._done:
            return
        self._done = True
        self._value, self._failure = value, failure
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(self)

    # ----------------------------------------------------------------- as Request has it

    @property
    def done(self) -> bool:
        """Whether the result is here, with its words; or the request was given up."""
        return self._done

    async def wait_response(self, timeout: float | None = None) -> Any:
        """Return the result; after a timeout the request goes on and can be waited for again.

        Raises:
            CallTimeout: no result within ``timeout`` seconds yet.
            RemoteError, CallExit, NoConnection: as for a call.
        """
        try:
            return await super().wait_response(timeout)
        except CallTimeout as error:
            raise in_call(error, self.dest, self._function) from None

    def settled(self) -> bool:
        """Return whether there is a result now that nobody will wait any longer for its words."""
        if self._failure is not None:
            self._decide(None, self._failure)
        return self._done

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        """Call ``callback(request)`` once when the request is done, or now."""
        if self._done:
            callback(self)
        else:
            self._callbacks.append(callback)

    def remove_done_callback(self, callback: Callable[[Any], object]) -> None:
        """Forget a callback."""
        if callback in self._callbacks:
            self._callbacks.remove(callback)

    def result(self) -> Any:
        """Return the value that is here, or raise what came instead.

        Raises:
            RemoteError, CallExit, NoConnection: as for a call.
            RuntimeError: the request was given up.
        """
        if self._failure is not None:
            raise self._failure
        if not self._done:
            raise RuntimeError("the call is not decided yet")
        return self._value

    def close(self) -> None:
        """Give the request up; a result that comes later reaches nobody."""
        super().close()
        self.settled()

    def __repr__(self) -> str:
        state = "done" if self._done else "under way"
        return (
            f"<CallRequest of {self._function[0]!r}:{self._function[1]!r} on {self.dest!r} {state}>"
        )


async def _described(process: Process, error: RemoteError) -> None:
    await describe(process, error, None)


class NodeResult(NamedTuple):
    """How a call ended on one of several nodes."""

    node: Atom
    value: Any
    error: PynodeError | None
    """None if there is a value; else what a call of this node alone would raise."""

    @property
    def ok(self) -> bool:
        """Whether there is a value."""
        return self.error is None

    def result(self) -> Any:
        """Return the value or raise the error."""
        if self.error is not None:
            raise self.error
        return self.value
