"""Calls whose reply is fetched later: ``send_request`` and collections of requests.

``send_request`` fails for nothing but a term that cannot be encoded: a server that does not
exist is an answer like another.  The answer waits in the :class:`Request`, not in the mailbox,
so nothing has to be received selectively and nothing is left over there.  A request that is not
wanted any more is given up with :meth:`Request.close`, or by leaving ``with``.

Source: ``gen:send_request/3``, ``receive_response``, ``wait_response``, ``check_response``.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pynode.behaviours.gen import as_gen_has_it, call_exit
from pynode.behaviours.names import ServerRef, look_up
from pynode.behaviours.words import CALLING_SELF, GEN_CALL, NOPROC, TIMEOUT
from pynode.errors import NO_REPLY, CallExit, CallTimeout, RemoteError
from pynode.process.timeouts import check_timeout
from pynode.terms import Atom, Reference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from pynode.process.calls import CallSlot
    from pynode.process.process import Process

__all__ = ["Answer", "Request", "Requests", "send_request"]


class Request:
    """One request under way, made by :func:`send_request`."""

    __slots__ = ("_error", "_slot", "_target", "dest", "label")

    def __init__(self, dest: Any, label: Any) -> None:
        #: The server, as it was given.
        self.dest: Final = dest
        #: What marks the request in a collection.
        self.label = label
        self._slot: CallSlot | None = None
        self._target: Any = None
        self._error: CallExit | None = None

    # ----------------------------------------------------------------- one answer

    async def receive_response(self, timeout: float | None = None) -> Any:
        """Return the reply; after a timeout, or when cancelled, the request is given up.

        Raises:
            CallTimeout: no reply within ``timeout`` seconds; a late one is dropped.
            CallExit, NoProcess, NoConnection: as for a call.
        """
        check_timeout(timeout)
        try:
            return await self.wait_response(timeout)
        finally:
            self.close()

    async def wait_response(self, timeout: float | None = None) -> Any:
        """Return the reply; after a timeout the request goes on and can be waited for again.

        Raises:
            CallTimeout: no reply within ``timeout`` seconds yet.
            CallExit, NoProcess, NoConnection: as for a call.
        """
        check_timeout(timeout)
        if not self.done:
            await _first_of([self], timeout)
        if not self.settled():
            raise CallTimeout(TIMEOUT)
        return self.result()

    def check_response(self) -> Any:
        """Return the reply if it is here, else NO_REPLY; does not wait.

        Raises:
            CallExit, NoProcess, NoConnection: as for a call.
        """
        return self.result() if self.done else NO_REPLY

    @property
    def done(self) -> bool:
        """Whether the answer is here, or the request was given up."""
        return self._slot is None or self._slot.done

    def settled(self) -> bool:
        """Return whether there is an answer now that nobody will wait any longer."""
        return self.done

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        """Call ``callback`` once when the request is done; it is not yet."""
        if self._slot is not None:
            self._slot.add_done_callback(callback)

    def remove_done_callback(self, callback: Callable[[Any], object]) -> None:
        """Forget a callback."""
        if self._slot is not None:
            self._slot.remove_done_callback(callback)

    def result(self) -> Any:
        """Return the reply that is here, or raise what came instead."""
        if self._error is not None:
            raise self._error
        if self._slot is None:
            raise RuntimeError("the request was given up")
        try:
            return self._slot.result()
        except CallExit as error:
            raise as_gen_has_it(error, self.dest, self._target) from error.__cause__

    def close(self) -> None:
        """Give the request up; a reply that comes later reaches nobody."""
        if self._slot is not None:
            self._slot.close()

    def __enter__(self) -> Request:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Request to {self.dest!r} {'done' if self.done else 'under way'}>"


def send_request(
    process: Process,
    dest: ServerRef,
    term: Any,
    *,
    label: Any = None,
    collection: Requests | None = None,
    text: bool = False,
    tag: Any = GEN_CALL,
) -> Request:
    """Send a call and return at once; the reply is fetched from the :class:`Request`.

    Args:
        label: comes back with the answer from a collection.
        collection: the :class:`Requests` it is added to.
        text: decode the UTF-8 binaries of the reply to str.
        tag: the first element of the message, ``'$gen_call'`` of a gen_server by default.

    Raises:
        EncodeError: ``term`` is no term; nothing was sent.
    """
    made = Request(dest, label)
    runtime = process.runtime
    target = look_up(process, dest)
    if type(target) is Atom:
        target = runtime.whereis(target)
    if target is None or type(target) is Reference:
        made._error = call_exit(NOPROC)
    elif target == process.pid:
        made._error = call_exit(CALLING_SELF)
    else:
        made._target = target
        slot = runtime.open_call(process, target, text=text)
        try:
            runtime.send(process, target, (tag, (process.pid, slot.tag), term))
        except BaseException:
            slot.close()
            raise
        made._slot = slot
    if collection is not None:
        collection.add(made)
    return made


# --------------------------------------------------------------------------- collections


class Answer(NamedTuple):
    """The end of one request of a collection."""

    request: Request
    label: Any
    reply: Any
    error: CallExit | RemoteError | None
    """None if there is a reply."""

    def result(self) -> Any:
        """Return the reply or raise the error."""
        if self.error is not None:
            raise self.error
        return self.reply


class Requests:
    """A collection of requests (``request_id_collection()``); answers come in any order."""

    __slots__ = ("_requests",)

    def __init__(self) -> None:
        self._requests: list[Request] = []

    def add(self, request: Request) -> None:
        """Add a request.

        Raises:
            ValueError: it is in the collection already.
        """
        if any(known is request for known in self._requests):
            raise ValueError("the request is in the collection already")
        self._requests.append(request)

    def __len__(self) -> int:
        return len(self._requests)

    def __iter__(self) -> Iterator[Request]:
        return iter(list(self._requests))

    async def receive_response(
        self, timeout: float | None = None, *, delete: bool = True
    ) -> Answer | None:
        """Return the next answer, None for an empty collection.

        After a timeout, or when cancelled, all its requests are given up.

        Raises:
            CallTimeout: no answer within ``timeout`` seconds.
        """
        try:
            return await self.wait_response(timeout, delete=delete)
        except (CallTimeout, asyncio.CancelledError):
            self.close()
            raise

    async def wait_response(
        self, timeout: float | None = None, *, delete: bool = True
    ) -> Answer | None:
        """Return the next answer, None for an empty collection; requests outlive a timeout.

        Args:
            timeout: seconds, None for ever.
            delete: take the answered request out of the collection; if it stays in, it is the
                next answer again.

        Raises:
            CallTimeout: no answer within ``timeout`` seconds yet.
        """
        check_timeout(timeout)
        if not self._requests:
            return None
        answer = self.check_response(delete=delete)
        if answer is not None:
            return answer
        await _first_of(self._requests, timeout)
        for request in self._requests:
            if request.settled():
                break
        answer = self.check_response(delete=delete)
        if answer is None:
            raise CallTimeout(TIMEOUT)
        return answer

    def check_response(self, *, delete: bool = True) -> Answer | None:
        """Return an answer that is here, else None; does not wait."""
        for request in self._requests:
            if request.done:
                if delete:
                    self._requests.remove(request)
                return _answer(request)
        return None

    def close(self) -> None:
        """Give all requests up, and empty the collection."""
        for request in self._requests:
            request.close()
        self._requests.clear()


def _answer(request: Request) -> Answer:
    try:
        return Answer(request, request.label, request.result(), None)
    except (CallExit, RemoteError) as error:
        return Answer(request, request.label, None, error)


async def _first_of(requests: list[Request], timeout: float | None) -> None:
    """Wait until one of ``requests``, none of which is done, is; or for ``timeout`` seconds."""
    runtime = next(
        (each._slot.process.runtime for each in requests if each._slot is not None), None
    )
    if runtime is None:
        return
    decided: asyncio.Future[None] = runtime.loop.create_future()

    def wake(_: Any = None) -> None:
        if not decided.done():
            decided.set_result(None)

    for request in requests:
        request.add_done_callback(wake)
    timer = None if timeout is None else runtime.timers.after(timeout, wake)
    try:
        await decided
    finally:
        decided.cancel()
        for request in requests:
            request.remove_done_callback(wake)
        if timer is not None:
            timer.cancel()
