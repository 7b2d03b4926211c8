"""``user`` and ``standard_error``: the devices of a node, which answer I/O requests.

``user`` is the group leader of every process that has no other.  A client monitors its leader,
sends ``{io_request, From, ReplyAs, Request}`` and waits for ``{io_reply, ReplyAs, Answer}`` for
ever, so everything is answered; what is unknown with ``{error, request}``.

Requests are a table from tag and size to a function (:data:`_REQUESTS`).  What can be done at
once is done at once.  What waits, for input or for another node's function, is carried out by a
process of its own, one per asker, whose later requests wait behind it; output of others goes on.
Input is given to one request after the other, in the order in which they came; when the asker
ends, its turn ends, and what was read stays for the next.

Source: "The Erlang I/O Protocol" (stdlib user's guide); group.erl and user.erl, whose answers
differ: these are group's.
"""

from __future__ import annotations

import asyncio
import codecs
import logging
import os
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final

from pynode.process.blocking import Threads
from pynode.services.erpc import Erpc
from pynode.services.service import Service
from pynode.terms import Atom, Pid, Reference, atom
from pynode.terms.formats import NotHere, Settings, TooLong

from .calls import (
    AT_ONCE_CHARACTERS,
    CallFailed,
    apply_here,
    apply_there,
    is_known,
    takes_long,
    takes_too_long,
)
from .chars import LATIN1, UNICODE, BadText, prompt_text, text_of, value_of
from .stdin import NoInput, Stdin
from .stream import IoStream

if TYPE_CHECKING:
    from pynode.process.process import Process
    from pynode.process.runtime import Runtime

__all__ = ["StandardError", "User", "write_to_stderr", "write_to_stdout"]

logger = logging.getLogger("pynode.services")

_EOF: Final = atom.eof
_ERROR: Final = atom.error
_UNKNOWN: Final = (_ERROR, atom.request)
_NO_SUPPORT: Final = (_ERROR, atom.enotsup)
_TERMINATED: Final = (_ERROR, atom.terminated)
_BUSY: Final = (_ERROR, atom.system_limit)
_NOT_LATIN1: Final = (_ERROR, (atom.no_translation, UNICODE, LATIN1))
#: Requests of one batch; requests that wait, of all askers.
_MOST_REQUESTS: Final = 10_000
#: Requests that wait, of the askers of one other node; and room that this node's own leave.
_MOST_OF_A_NODE: Final = 2_500
#: Seconds for which a batch goes on before others have their turn.
_BATCH_SECONDS: Final = 0.02
#: Threads that make text at once, however many ask: each slows the node down.
_THREADS: Final = 2


def _written(stream: Any, text: str, real: Any) -> None:
    if isinstance(stream, IoStream):
        stream = real  # redirected to a device, which might be this one
    if stream is None:
        return  # a program without a console
    try:
        stream.write(text)
    except UnicodeEncodeError:
        encoding = stream.encoding
        stream.write("".join(_escaped(character, encoding) for character in text))
    stream.flush()


def _escaped(character: str, encoding: str) -> str:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return f"\\x{{{ord(character):X}}}"
    return character


def write_to_stdout(text: str) -> None:
    """Write to stdout as it is now, so that a redirected one is found, and flush."""
    _written(sys.stdout, text, sys.__stdout__)


def write_to_stderr(text: str) -> None:
    """Write to stderr as it is now, and flush."""
    _written(sys.stderr, text, sys.__stderr__)


class User(Service):
    """The process ``user``.

    Args:
        runtime: where it is to live.
        write: takes the text.
        erpc: to have functions applied elsewhere.
        stdin: where input comes from.
    """

    name: ClassVar[str] = "user"
    #: The table of its requests.
    requests: ClassVar[dict[tuple[Atom, int], Callable[..., Any]]]

    def __init__(
        self,
        runtime: Runtime,
        write: Callable[[str], object] = write_to_stdout,
        *,
        erpc: Erpc | None = None,
        stdin: Stdin | None = None,
    ) -> None:
        self.write = write
        self.stdin = stdin or Stdin()
        self._erpc = erpc or Erpc(runtime)
        #: Askers whose request waits, with those that wait behind it.
        self._waiting: dict[Pid, _Waiting] = {}
        #: How many requests wait, and by the node of who has asked.
        self._queued = 0
        self._queued_of: dict[Atom | None, int] = {}
        self._threads = Threads(runtime.scheduler, _THREADS)
        self._turn = asyncio.Lock()  # hands itself on in the order in which it was asked for
        self._buffer = ""
        self._decoder: codecs.IncrementalDecoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.options: dict[str, Any] = {"binary": True, "echo": True, "encoding": UNICODE}
        super().__init__(runtime)
        self.process.group_leader = self.process.pid

    # ------------------------------------------------------------------ messages

    def info(self, message: Any) -> None:
        """``{io_request, From, ReplyAs, Request}``, and the DOWN of an asker."""
        match message:
            case (atom.io_request, Pid() as asker, reply_as, request):
                waiting = self._waiting.get(asker)
                if waiting is None:
                    self._begin(asker, reply_as, request)
                elif self._has_room(waiting.share):
                    waiting.behind.append((reply_as, request))
                    self._count(waiting.share, 1)
                else:
                    self._answer(asker, reply_as, _BUSY)
            case (atom.DOWN, Reference() as ref, _, Pid() as asker, _):
                waiting = self._waiting.get(asker)
                if waiting is not None and waiting.monitor == ref:
                    self._forget(asker)
                    self.runtime.exit(self.process, waiting.worker, atom.kill)

    def _share(self, asker: Pid) -> Atom | None:
        """Return with whom an asker shares its room: the processes of its node.

        The pid is what a message says, and may be made up: those of nodes that are not connected,
        of which there could be any number, share one room, None.
        """
        if self.runtime.is_own(asker):
            return asker.node
        remote = self.runtime.nodes.find(asker.node)
        return None if remote is None or remote.peer is None else asker.node

    def _has_room(self, share: Atom | None) -> bool:
        """Whether one more may wait: of all, and of one node, that others find room beside it."""
        if self._queued >= _MOST_REQUESTS:
            return False
        own = share == self.runtime.node_name
        most = _MOST_REQUESTS - _MOST_OF_A_NODE if own else _MOST_OF_A_NODE
        return self._queued_of.get(share, 0) < most

    def _count(self, share: Atom | None, change: int) -> None:
        self._queued += change
        count = self._queued_of.get(share, 0) + change
        if count > 0:
            self._queued_of[share] = count
        else:
            self._queued_of.pop(share, None)

    def _begin(self, asker: Pid, reply_as: Any, request: Any) -> None:
        answer = self._carried_out(asker, request)
        if not isinstance(answer, Later):
            self._answer(asker, reply_as, answer)
            return
        share = self._share(asker)
        if not self._has_room(share):
            self._answer(asker, reply_as, _BUSY)
        else:
            worker = self.runtime.spawn(
                self._work, asker, reply_as, answer, group_leader=self.process.pid
            )
            monitor = self.runtime.monitor(self.process, asker)
            self._waiting[asker] = _Waiting(worker.pid, monitor, share)
            self._count(share, 1)

    def _answer(self, asker: Pid, reply_as: Any, answer: Any) -> None:
        self.send(asker, (atom.io_reply, reply_as, answer))

    def _carried_out(self, asker: Pid, request: Any) -> Any:
        """Carry out one request: return its answer, or what will give it."""
        try:
            return self.request(request, asker)
        except Exception:  # stdout closed, for one
            logger.exception("%s could not carry out a request", self.name)
            return _TERMINATED

    async def _work(self, process: Process, asker: Pid, reply_as: Any, begun: Later) -> None:
        """The process that waits for ``asker``."""
        waiting = self._waiting.get(asker)
        if waiting is None or waiting.worker != process.pid:
            return
        try:
            self._answer(asker, reply_as, await self._finished(begun))
            while waiting.behind:
                reply_as, request = waiting.behind.popleft()
                self._count(waiting.share, -1)
                answer = self._carried_out(asker, request)
                if isinstance(answer, Later):
                    answer = await self._finished(answer)
                self._answer(asker, reply_as, answer)
        finally:
            if self._waiting.get(asker) is waiting:
                self._forget(asker)

    async def _finished(self, begun: Later) -> Any:
        try:
            return await begun.start()
        except Exception:
            logger.exception("%s could not carry out a request", self.name)
            return _TERMINATED

    def _forget(self, asker: Pid) -> None:
        waiting = self._waiting.pop(asker)
        self._count(waiting.share, -1 - len(waiting.behind))
        if self.process.alive:
            self.runtime.demonitor(self.process, waiting.monitor, flush=True)

    # ------------------------------------------------------------------ requests

    def request(self, request: Any, asker: Pid | None = None) -> Any:
        """Carry out one request; return what goes into ``io_reply``, or what gives it later."""
        if isinstance(request, Atom):
            key = (request, 1)
        elif isinstance(request, tuple) and request and isinstance(request[0], Atom):
            key = (request[0], len(request))
        else:
            return _UNKNOWN
        handler = self.requests.get(key)
        return _UNKNOWN if handler is None else handler(self, request, asker or self.process.pid)

    @property
    def _settings(self) -> Settings:
        return Settings(node=self.runtime.node_name)

    @property
    def _brief(self) -> Settings:
        """For what is made on the loop."""
        return Settings(node=self.runtime.node_name, characters=AT_ONCE_CHARACTERS)

    async def _made_aside(self, function: Callable[..., str], *args: Any) -> str:
        """Return the text that ``function`` makes in a thread."""
        process = self.runtime.current() or self.process
        await self._threads.give_worker(process)
        return await process.run_blocking(function, *args)

    def _emit(self, text: str) -> None:
        if self.options["encoding"] == LATIN1:
            text = "".join(_escaped(character, "latin-1") for character in text)
        self.write(text)

    def _put_chars(self, encoding: Any, chars: Any) -> Any:
        try:
            text = text_of(encoding, chars)
        except BadText:
            return _ERROR, (atom.put_chars, encoding, chars)
        self._emit(text)
        return atom.ok

    def _put_call(self, encoding: Any, call: tuple[Any, Any, Any], asker: Pid) -> Any:
        module, function, args = call
        if not isinstance(args, list):
            return _ERROR, function
        known = is_known(module, function, args)
        if known and not takes_long(args):
            try:
                return self._put_made(encoding, function, apply_here(function, args, self._brief))
            except CallFailed:
                return _ERROR, function
            except TooLong:
                pass
            except NotHere:
                known = False
        return Later(partial(self._put_call_later, encoding, call, asker, known))

    async def _put_call_later(
        self, encoding: Any, call: tuple[Any, Any, Any], asker: Pid, known: bool
    ) -> Any:
        """Have text made in a thread, or on the node of the asker."""
        module, function, args = call
        try:
            if known and (self.runtime.is_own(asker) or not takes_too_long(args)):
                with suppress(NotHere):
                    text = await self._made_aside(apply_here, function, args, self._settings)
                    return self._put_made(encoding, function, text)
            chars = await self._apply(asker, module, function, args)
            return self._put_made(encoding, function, text_of(UNICODE, chars))
        except (CallFailed, TooLong, BadText):
            return _ERROR, function

    async def _apply(self, asker: Pid, module: Any, function: Any, args: list[Any]) -> Any:
        process = self.runtime.current() or self.process
        return await apply_there(self._erpc, process, asker, module, function, args)

    def _put_made(self, encoding: Any, function: Any, text: str) -> Any:
        try:
            value_of(text, encoding, binary=True)
        except (BadText, UnicodeEncodeError):
            return _ERROR, function
        self._emit(text)
        return atom.ok

    def _batch(self, requests: Any, asker: Pid) -> Any:
        """``{requests, List}``: until one fails; the last one's answer is the answer."""
        pending: deque[Any] = deque((requests,))
        return self._batch_on(pending, asker, atom.ok, [0])

    def _batch_on(
        self, pending: deque[Any], asker: Pid, answer: Any, count: list[int], *, then: bool = True
    ) -> Any:
        """Go on with a batch, up to a request that waits; ``then`` has the rest go on behind it."""
        clock = self.runtime.loop.time
        until = clock() + _BATCH_SECONDS
        while pending:
            request = pending.popleft()
            if isinstance(request, list):
                pending.extendleft(reversed(request))
                continue
            count[0] += 1
            if count[0] > _MOST_REQUESTS:
                return _UNKNOWN
            match request:
                case (atom.requests, list() as inner):
                    pending.appendleft(inner)
                    continue
            answer = self.request(request, asker)
            if clock() > until and not isinstance(answer, Later):
                answer = Later(partial(_after_others, answer))
            if isinstance(answer, Later):
                rest = partial(self._batch_later, answer, pending, asker, count)
                return Later(rest) if then else answer
            if _is_error(answer):
                return answer
        return answer

    async def _batch_later(
        self, begun: Later, pending: deque[Any], asker: Pid, count: list[int]
    ) -> Any:
        while True:
            answer = await begun.start()
            if _is_error(answer):
                return answer
            answer = self._batch_on(pending, asker, answer, count, then=False)
            if not isinstance(answer, Later):
                return answer
            begun = answer

    # ------------------------------------------------------------------ input

    def _read(
        self, encoding: Any, prompt: Any, take: Callable[[], Awaitable[Any]], what: Any = None
    ) -> Any:
        """Wait for one's turn, and read with ``take``, which returns text or an answer.

        ``what`` is told where it fails.
        """
        if encoding not in (UNICODE, LATIN1):
            return _UNKNOWN
        return Later(partial(self._take_turn, encoding, prompt, take, what))

    async def _take_turn(
        self, encoding: Any, prompt: Any, take: Callable[[], Awaitable[Any]], what: Any
    ) -> Any:
        if takes_long([prompt]):
            text = await self._made_aside(prompt_text, prompt, self._settings)
        else:
            text = prompt_text(prompt, self._brief)
        async with self._turn:
            if text:
                self._emit(text)
            try:
                found = await take()
                if isinstance(found, str):
                    return value_of(found, encoding, binary=self.options["binary"])
                return found
            except NoInput:
                return _NO_SUPPORT
            except BadText:
                return _NOT_LATIN1
            except CallFailed:
                return _ERROR, what

    async def _more(self) -> bool:
        """Have more in the buffer; False at the end of the input."""
        data = await self.stdin.read()
        if isinstance(data, str):
            self._buffer += data
            return bool(data)
        text = self._decoder.decode(data, final=not data)
        self._buffer += text
        return bool(data)

    async def _line(self) -> Any:
        """Take a line, or what is left at the end."""
        searched = 0
        while (end := self._buffer.find("\n", searched)) < 0:
            searched = len(self._buffer)
            if not await self._more():
                line, self._buffer = self._buffer, ""
                return line or _EOF
        line, self._buffer = self._buffer[: end + 1], self._buffer[end + 1 :]
        return line[:-2] + "\n" if line.endswith("\r\n") else line

    async def _chars(self, count: int) -> Any:
        while len(self._buffer) < count:
            if not await self._more():
                break
        found, self._buffer = self._buffer[:count], self._buffer[count:]
        return found if found or not count else _EOF

    def _get_chars(self, encoding: Any, prompt: Any, count: Any) -> Any:
        if type(count) is not int or count < 0:
            return _ERROR, atom.get_chars
        return self._read(encoding, prompt, lambda: self._chars(count))

    def _get_password(self, encoding: Any, prompt: Any) -> Any:
        async def take() -> Any:
            with self.stdin.silent():
                line = await self._line()
            self._emit("\n")
            return line.removesuffix("\n") if isinstance(line, str) else line

        return self._read(encoding, prompt, take)

    def _get_until(self, encoding: Any, prompt: Any, call: tuple[Any, Any, Any], asker: Pid) -> Any:
        """Give lines to ``M:F(Continuation, Chars, A...)`` until it returns ``{done, ...}``."""
        module, function, args = call
        if not isinstance(args, list):
            return _ERROR, function

        async def take() -> Any:
            continuation: Any = []
            while True:
                line = await self._line()
                chars = line if line == _EOF else value_of(line, encoding, binary=False)
                result = await self._apply(asker, module, function, [continuation, chars, *args])
                match result:
                    case (atom.done, found, rest):
                        self._give_back(rest)
                        return self._until_value(found, encoding)
                    case (atom.more, continuation):
                        pass
                    case _:
                        raise CallFailed

        return self._read(encoding, prompt, take, function)

    def _give_back(self, rest: Any) -> None:
        if isinstance(rest, list):
            try:
                self._buffer = text_of(UNICODE, rest) + self._buffer
            except BadText as error:
                raise CallFailed from error

    def _until_value(self, found: Any, encoding: Any) -> Any:
        if not (self.options["binary"] and isinstance(found, list)):
            return found
        try:
            return value_of(text_of(UNICODE, found), encoding, binary=True)
        except BadText as error:
            raise CallFailed from error

    # ------------------------------------------------------------------ options

    def _getopts(self) -> Any:
        terminals = {name: _is_terminal(name) for name in ("stdin", "stdout", "stderr")}
        found = {"expand_fun": False, **self.options, "terminal": terminals["stdout"], **terminals}
        return [(Atom(name), value) for name, value in found.items()]

    def _setopts(self, options: Any) -> Any:
        """Set all of them, or none if one is not known."""
        wanted: dict[str, Any] = {}
        if not isinstance(options, list):
            return _UNKNOWN
        for option in options:
            setting = _setting(option)
            if setting is None or setting[0] not in self.options:
                return _NO_SUPPORT
            wanted[setting[0]] = setting[1]
        if "encoding" in wanted:
            name = "latin-1" if wanted["encoding"] == LATIN1 else "utf-8"
            self._decoder = codecs.getincrementaldecoder(name)("replace")
        self.options |= wanted
        return atom.ok

    def _geometry(self, what: Any) -> Any:
        columns = what == atom.columns
        if not columns and what != atom.rows:
            return _NO_SUPPORT
        try:
            size = os.get_terminal_size(sys.stdout.fileno())
        except (AttributeError, OSError, ValueError):
            return _NO_SUPPORT
        return size.columns if columns else size.lines


class Later:
    """Stands for an answer that takes time; ``start()`` is awaited for it."""

    __slots__ = ("start",)

    def __init__(self, start: Callable[[], Awaitable[Any]]) -> None:
        self.start = start


class _Waiting:
    """An asker whose request waits."""

    __slots__ = ("behind", "monitor", "share", "worker")

    def __init__(self, worker: Pid, monitor: Reference, share: Atom | None) -> None:
        self.worker = worker
        self.monitor = monitor
        #: Whose room it takes, see :meth:`User._share`.
        self.share = share
        self.behind: deque[tuple[Any, Any]] = deque()


async def _after_others(answer: Any) -> Any:
    """Return ``answer`` in the next turn of the loop."""
    await asyncio.sleep(0)
    return answer


def _is_error(answer: Any) -> bool:
    return isinstance(answer, tuple) and len(answer) == 2 and answer[0] == _ERROR


def _is_terminal(name: str) -> bool:
    try:
        return bool(getattr(sys, name).isatty())
    except (AttributeError, OSError, ValueError):
        return False


_ENCODINGS: Final = {atom.unicode: UNICODE, atom.utf8: UNICODE, atom.latin1: LATIN1}


def _setting(option: Any) -> tuple[str, Any] | None:
    """Return name and value of an option, None if it cannot be set."""
    match option:
        case atom.binary:
            return "binary", True
        case atom.list:
            return "binary", False
        case atom.unicode | atom.latin1:
            return "encoding", _ENCODINGS[option]
        case (atom.binary, bool() as value):
            return "binary", value
        case (atom.list, bool() as value):
            return "binary", not value
        case (atom.echo, bool() as value):
            return "echo", value
        case (atom.encoding, Atom() as value) if value in _ENCODINGS:
            return "encoding", _ENCODINGS[value]
    return None


_OUTPUT: Final[dict[tuple[Atom, int], Callable[..., Any]]] = {
    (atom.put_chars, 2): lambda user, r, asker: user._put_chars(LATIN1, r[1]),
    (atom.put_chars, 3): lambda user, r, asker: user._put_chars(r[1], r[2]),
    (atom.put_chars, 4): lambda user, r, asker: user._put_call(LATIN1, r[1:], asker),
    (atom.put_chars, 5): lambda user, r, asker: user._put_call(r[1], r[2:], asker),
    (atom.requests, 2): lambda user, r, asker: (
        user._batch(r[1], asker) if isinstance(r[1], list) else _UNKNOWN
    ),
    (atom.getopts, 1): lambda user, r, asker: user._getopts(),
    (atom.setopts, 2): lambda user, r, asker: user._setopts(r[1]),
    (atom.get_geometry, 2): lambda user, r, asker: user._geometry(r[1]),
}
_INPUT: Final[dict[tuple[Atom, int], Callable[..., Any]]] = {
    (atom.get_line, 2): lambda user, r, asker: user._read(LATIN1, r[1], user._line),
    (atom.get_line, 3): lambda user, r, asker: user._read(r[1], r[2], user._line),
    (atom.get_chars, 3): lambda user, r, asker: user._get_chars(LATIN1, *r[1:]),
    (atom.get_chars, 4): lambda user, r, asker: user._get_chars(*r[1:]),
    (atom.get_password, 2): lambda user, r, asker: user._get_password(r[1], b""),
    (atom.get_password, 3): lambda user, r, asker: user._get_password(r[1], r[2]),
    (atom.get_until, 5): lambda user, r, asker: user._get_until(LATIN1, r[1], r[2:], asker),
    (atom.get_until, 6): lambda user, r, asker: user._get_until(r[1], r[2], r[3:], asker),
}

User.requests = _OUTPUT | _INPUT


class StandardError(User):
    """The process ``standard_error``: a device that writes only."""

    name: ClassVar[str] = "standard_error"
    requests = _OUTPUT

    def __init__(
        self,
        runtime: Runtime,
        write: Callable[[str], object] = write_to_stderr,
        *,
        erpc: Erpc | None = None,
    ) -> None:
        super().__init__(runtime, write, erpc=erpc)
        self.options = {"encoding": UNICODE}

    def _getopts(self) -> Any:
        return [(Atom(name), value) for name, value in self.options.items()]
