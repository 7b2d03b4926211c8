"""``user``: the group leader of every process that has no other; answers I/O requests.

A client monitors its group leader, sends ``{io_request, From, ReplyAs, Request}`` and waits for
``{io_reply, ReplyAs, Answer}`` for ever, so everything is answered: output is written, what this
leader cannot do is ``{error, request}``.

Requests are a table from tag and size to a function (:data:`_REQUESTS`); more of the protocol is
more rows.  Where text goes is the ``write`` argument.

Source: "The Erlang I/O Protocol" (stdlib user's guide).
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Final

from pynode.terms import Atom, Pid, atom, charlist_text

from .service import Service

if TYPE_CHECKING:
    from pynode.process.runtime import Runtime

__all__ = ["User", "write_to_stdout"]

logger = logging.getLogger("pynode.services")

_ERROR: Final = (atom.error, atom.request)
_TERMINATED: Final = (atom.error, atom.terminated)
_LATIN1: Final = atom.latin1
_MOST_REQUESTS: Final = 10_000


def write_to_stdout(text: str) -> None:
    """Write to stdout as it is now, so that a redirected one is found, and flush."""
    sys.stdout.write(text)
    sys.stdout.flush()


class User(Service):
    """The process ``user``."""

    name: ClassVar[str] = "user"

    def __init__(self, runtime: Runtime, write: Callable[[str], object] = write_to_stdout) -> None:
        self.write = write
        super().__init__(runtime)

    def info(self, message: Any) -> None:
        """``{io_request, From, ReplyAs, Request}``."""
        match message:
            case (tag, Pid() as sender, reply_as, request) if tag == atom.io_request:
                self.send(sender, (atom.io_reply, reply_as, self._answer(request)))

    def _answer(self, request: Any) -> Any:
        try:
            return self.request(request)
        except Exception:  # stdout closed, or of an encoding that lacks the character
            logger.exception("the group leader could not carry out a request")
            return _TERMINATED

    def request(self, request: Any) -> Any:
        """Carry out one request; return what goes into ``io_reply``."""
        if isinstance(request, Atom):
            key = (request, 1)
        elif isinstance(request, tuple) and request and isinstance(request[0], Atom):
            key = (request[0], len(request))
        else:
            return _ERROR
        handler = _REQUESTS.get(key)
        return _ERROR if handler is None else handler(self, request)

    def _put_chars(self, encoding: Any, chars: Any) -> Any:
        try:
            text = _chardata(encoding, chars)
        except (TypeError, ValueError):
            return atom.error, (atom.put_chars, encoding, chars)
        self.write(text)
        return atom.ok

    def _many(self, requests: Any) -> Any:
        """``{requests, List}``: until one fails; its answer is the answer."""
        if not isinstance(requests, list) or len(requests) > _MOST_REQUESTS:
            return _ERROR
        answer: Any = atom.ok
        for request in requests:
            match request:
                case (tag, *_) if tag == atom.requests:
                    return _ERROR  # nested lists have no use, and no bottom
            answer = self.request(request)
            match answer:
                case (tag, _) if tag == atom.error:
                    return answer
        return answer


def _chardata(encoding: Any, chars: Any) -> str:
    if encoding == _LATIN1 and isinstance(chars, bytes):
        return chars.decode("latin-1")
    return charlist_text(chars)


_REQUESTS: Final[dict[tuple[Atom, int], Callable[[User, Any], Any]]] = {
    (atom.put_chars, 3): lambda user, r: user._put_chars(r[1], r[2]),
    (atom.put_chars, 2): lambda user, r: user._put_chars(_LATIN1, r[1]),
    (atom.requests, 2): lambda user, r: user._many(r[1]),
    (atom.getopts, 1): lambda user, r: [(atom.binary, True), (atom.encoding, atom.unicode)],
    (atom.setopts, 2): lambda user, r: (atom.error, atom.enotsup),
    (atom.get_geometry, 2): lambda user, r: (atom.error, atom.enotsup),
}
