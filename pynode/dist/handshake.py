"""The handshake, version 6, for both sides: bytes in, events and bytes out.

One machine serves one connection attempt.  Its owner moves the bytes, runs the deadline of each
step (7 s in OTP, begun anew whenever an event or bytes to send came of the input), and decides
what cannot be read from the wire::

    Handshake.dial(local, "b@host", cookie, challenge)   Handshake.accept(local, challenge)
      send_name ------------------------------------------> NameReceived
                                                              owner: use_cookie(cookie), then
      StatusReceived <------------------------- send_status(OK) or OK_SIMULTANEOUS, or ALIVE, ...
        ALIVE: owner: answer_alive(True) -----------------> AliveAnswered(True)
      (reads the challenge) <----------------------------- send_challenge
      send_challenge_reply -------------------------------> (checks the digest)
                                                              after ALIVE: DigestAccepted; owner
                                                              ends the old connection: send_ack()
      Established <-------------------------------------- send_challenge_ack, Established

Rules for the owner:

- After every call write :meth:`Handshake.data_to_send`, also after one that raised: the last
  bytes may be the status that tells the peer why.  Then, if it raised, close.
- ``receive_data``, ``use_cookie``, ``send_status``, ``send_named``, ``answer_alive`` and
  ``send_ack`` all return the events that follow, in order.
- Once :class:`Established` came, its ``rest`` is what the peer sent behind the handshake: the
  first bytes for the :class:`pynode.dist.connection.Connection`.
- When :attr:`Handshake.closed` is True without an error, the attempt ended as the protocol has it
  (a refusing status was sent, or ``alive`` answered with false): write, then close.
- After the status ``nok`` the dialler does nothing more: the peer's own attempt is coming on
  another socket.  Keep this one until that is settled.

Every fault of the peer raises a child of :class:`pynode.errors.ConnectError`, and raises it again
on later input.  Calling a method out of turn is a ``RuntimeError`` and changes nothing.

Source: "Distribution Protocol", section "Distribution Handshake"; ``dist_util.erl``.
"""

from __future__ import annotations

import struct
from enum import Enum
from typing import Any, Final, NamedTuple, NoReturn, TypeAlias

from pynode.config import has_long_host
from pynode.dist.cookie import DIGEST_BYTES, digest, digest_matches
from pynode.dist.flags import MANDATORY_25, MANDATORY_26, Flag, expand, flag_names, missing
from pynode.dist.local import LocalNode, split_name
from pynode.dist.seam import Peer
from pynode.errors import (
    ConnectError,
    ConnectionAborted,
    CookieError,
    FlagError,
    HandshakeError,
    NodeNameError,
    NotAllowed,
)
from pynode.terms.atom import MAX_ATOM_CHARACTERS, Atom

__all__ = [
    "AliveAnswered",
    "DigestAccepted",
    "Established",
    "Handshake",
    "HandshakeEvent",
    "NameReceived",
    "State",
    "Status",
    "StatusReceived",
]


class Status(Enum):
    """What the accepting side says to the dialler's name."""

    OK = "ok"
    """Go on."""
    OK_SIMULTANEOUS = "ok_simultaneous"
    """Go on; the accepting side gives up its own attempt to dial."""
    NOK = "nok"
    """The accepting side's own attempt to dial wins; wait for it."""
    NOT_ALLOWED = "not_allowed"
    """Refused: the name is not on the list, or a mandatory flag is missing."""
    ALIVE = "alive"
    """A connection to a node of that name is up; does the dialler know that it is dead?"""
    NAMED = "named:"
    """Go on, under the name that is given (sent by :meth:`Handshake.send_named`)."""


class NameReceived(NamedTuple):
    """The dialler's name; the owner answers with ``send_status`` or ``send_named``.

    A dialler that bears this node's own name gets NOK, as from OTP.  With ``wants_name`` the name
    is a host alone, and the answer is ``send_named`` or a refusal.
    """

    name: str
    flags: int
    creation: int
    wants_name: bool


class StatusReceived(NamedTuple):
    """The accepting side's status; after ALIVE the owner calls ``answer_alive``.

    ``name`` and ``creation`` are those given to this node, with NAMED alone.
    """

    status: Status
    name: str = ""
    creation: int = 0


class AliveAnswered(NamedTuple):
    """The dialler's answer to ALIVE: True, its old connection is dead; False, it gives up."""

    go_on: bool


class DigestAccepted(NamedTuple):
    """After ALIVE, the dialler has proved the cookie: end the old connection, then send_ack."""


class Established(NamedTuple):
    """Both sides are convinced.  ``rest`` belongs to the connection."""

    peer: Peer
    rest: bytes


HandshakeEvent: TypeAlias = (
    NameReceived | StatusReceived | AliveAnswered | DigestAccepted | Established
)


class State(Enum):
    """Where the machine stands; the value says what it waits for."""

    AWAIT_STATUS = "the status"
    DECIDE_ALIVE = "the owner's answer to alive"
    REFUSED_FOR_OWN = "the peer's own attempt (status nok)"
    AWAIT_CHALLENGE = "the challenge"
    AWAIT_ACK = "the acknowledgement of the challenge"
    AWAIT_NAME = "the name"
    DECIDE_STATUS = "the owner's status"
    AWAIT_ALIVE_ANSWER = "the answer to alive"
    AWAIT_REPLY = "the reply to the challenge"
    DECIDE_ACK = "the owner's acknowledgement"
    ESTABLISHED = "nothing, it is done"
    CLOSED = "nothing, it is closed"
    FAILED = "nothing, it has failed"


# States in which the machine reads a message, and the tag that message must have.
_READS: Final = {
    State.AWAIT_STATUS: b"s",
    State.AWAIT_CHALLENGE: b"N",
    State.AWAIT_ACK: b"a",
    State.AWAIT_NAME: b"N",
    State.AWAIT_ALIVE_ANSWER: b"s",
    State.AWAIT_REPLY: b"r",
}
_SILENT: Final = frozenset({State.CLOSED, State.REFUSED_FOR_OWN})
_BY_TEXT: Final = {s.value.encode(): s for s in Status if s is not Status.NAMED}
_LONGEST_MESSAGE: Final = 0xFFFF  # what two length bytes can say; four may not say more
_MOST_AHEAD: Final = 4 + _LONGEST_MESSAGE  # kept of a peer that does not wait for its turn
_NAME: Final = struct.Struct(">cQIH")
#: That of version 5 (OTP 22 and before); the name follows.
_OLD_NAME: Final = struct.Struct(">cHI")
_CHALLENGE: Final = struct.Struct(">cQIIH")


class Handshake:
    """One attempt to connect, seen from one side; see the module for how it is driven."""

    def __init__(
        self, local: LocalNode, role: str, challenge: int, length_bytes: int, state: State
    ) -> None:
        """Use :meth:`dial` or :meth:`accept`."""
        if not 0 <= challenge <= 0xFFFFFFFF:
            raise ValueError("a challenge has 32 bits")
        if length_bytes not in (2, 4):
            raise ValueError("handshake messages have length fields of 2 or 4 bytes")
        #: This node as it presents itself; after NAMED with the name and creation it was given.
        self.local = local
        self.role: Final = role
        self.state = state
        #: The error that ended the attempt.
        self.error: ConnectError | None = None
        #: The other side's name as far as it is known, else "".
        self.peer_name = ""
        self._challenge: Final = challenge
        self._length_bytes: Final = length_bytes
        self._cookie: bytes | None = None
        self._in = bytearray()
        self._out = bytearray()
        self._peer_challenge = 0
        self._peer_flags = 0
        self._peer_creation = 0
        self._dynamic = False  # either side goes by an invented name
        self._was_alive = False

    @classmethod
    def dial(
        cls,
        local: LocalNode,
        peer_name: str,
        cookie: bytes,
        challenge: int,
        *,
        length_bytes: int = 2,
    ) -> Handshake:
        """Begin as the side that connects; the name is in ``data_to_send`` at once.

        Args:
            local: a name without ``@`` asks the peer for a name.
            challenge: 32 unpredictable bits, new for each attempt.
            length_bytes: 2 on plain TCP, 4 on TLS.

        Raises:
            NodeNameError: ``peer_name`` is no node name, is our own, or is short where ours is
                long or the other way round; or a name cannot be written in Latin-1.
        """
        _check_peer_name(local, peer_name)
        self = cls(local, "dial", challenge, length_bytes, State.AWAIT_STATUS)
        self.peer_name = peer_name
        self._cookie = cookie
        name = _latin1(local.name)
        creation = local.creation
        if "@" not in local.name:
            self._dynamic = True
            self.local = LocalNode(
                local.name, 0, _unnamed(local.flags), long_names=local.long_names
            )
            creation = 0
        self._send(_NAME.pack(b"N", self.local.flags, creation, len(name)), name)
        return self

    @classmethod
    def accept(cls, local: LocalNode, challenge: int, *, length_bytes: int = 2) -> Handshake:
        """Begin as the side that was connected to; ``challenge`` and the rest as in ``dial``."""
        _latin1(local.name)
        return cls(local, "accept", challenge, length_bytes, State.AWAIT_NAME)

    # ------------------------------------------------------------------ the owner's verbs

    @property
    def closed(self) -> bool:
        """True when the attempt is over: refused, given up, or failed."""
        return self.state is State.CLOSED or self.state is State.FAILED

    def data_to_send(self) -> bytes:
        """Return, and forget, the bytes that are to be written now."""
        data = bytes(self._out)
        self._out.clear()
        return data

    def receive_data(self, data: bytes | bytearray | memoryview) -> list[HandshakeEvent]:
        """Take bytes as they come, in any portions, and return the events in them.

        Bytes after the attempt is closed, or after ``nok``, are ignored.

        Raises:
            ConnectError: a child names the cause; see ``receive_eof`` for the silent ones.
            HandshakeError: bytes that have no place at this step.
            RuntimeError: the handshake is already established.
        """
        if self.error is not None:
            raise self.error
        if self.state is State.ESTABLISHED:
            raise RuntimeError("the handshake is over: these bytes belong to the connection")
        if self.state in _SILENT:
            return []
        self._in += data
        events = self._proceed()
        if len(self._in) > _MOST_AHEAD:
            self._fail(HandshakeError, f"it sent {len(self._in)} bytes before its turn")
        return events

    def receive_eof(self) -> NoReturn:
        """Tell that the peer closed the connection; always raises.

        Raises:
            CookieError: it closed on our proof of the cookie.
            FlagError: it closed on our challenge, and our flags lack what OTP demands.
            ConnectionAborted: at any other step; the text names it.
        """
        if self.error is not None:
            raise self.error
        if self.state is State.AWAIT_ACK:
            self._fail(CookieError, "it closed the connection on our digest: the cookies differ")
        lacking = missing(self.local.flags, MANDATORY_26)
        if self.state is State.AWAIT_REPLY and lacking:
            self._fail(FlagError, f"it does without no node that lacks {flag_names(lacking)}")
        problem = f"it closed the connection while we awaited {self._awaited}"
        if self.state is State.AWAIT_STATUS and self._length_bytes == 2:
            problem += "; a node that speaks TLS alone does that"
        self._fail(ConnectionAborted, problem)

    def use_cookie(self, cookie: bytes) -> list[HandshakeEvent]:
        """Give the accepting side the cookie for this peer; needed before its reply is checked."""
        self._cookie = cookie
        return self._proceed() if self.state is State.AWAIT_REPLY else []

    def send_status(self, status: Status) -> list[HandshakeEvent]:
        """Answer a name.  After NOK and NOT_ALLOWED the attempt is closed.

        Raises:
            RuntimeError: not the moment; or NAMED, which is :meth:`send_named`; or a status that
                goes on, for a dialler that wants a name.
        """
        self._expect(State.DECIDE_STATUS)
        refusal = status is Status.NOK or status is Status.NOT_ALLOWED
        if status is Status.NAMED or (self._dynamic and not refusal):
            raise RuntimeError("a node is named by send_named")
        self._send(b"s", status.value.encode())
        if refusal:
            self.state = State.CLOSED
            return []
        if status is Status.ALIVE:
            self._was_alive = True
            self.state = State.AWAIT_ALIVE_ANSWER
        else:
            self._send_challenge()
        return self._proceed()

    def send_named(self, name: str, creation: int) -> list[HandshakeEvent]:
        """Answer a dialler that wants a name with ``name``, whose host part is what it sent.

        Raises:
            RuntimeError: not the moment, or the dialler has a name.
            ValueError: ``name`` is not ``alive@`` and the host that was sent.
        """
        self._expect(State.DECIDE_STATUS)
        if not self._dynamic:
            raise RuntimeError("the dialler has a name")
        parts = split_name(name)
        if parts is None or parts[1] != self.peer_name:
            raise ValueError(f"{name!r} is not a name at {self.peer_name}")
        text = name.encode()
        self._send(b"snamed:", struct.pack(">H", len(text)), text, struct.pack(">I", creation))
        self.peer_name = name
        self._peer_creation = creation
        self._send_challenge()
        return self._proceed()

    def answer_alive(self, go_on: bool) -> list[HandshakeEvent]:
        """Answer ALIVE: True if this node holds no live connection to the peer, else False.

        False closes the attempt.

        Raises:
            RuntimeError: not the moment.
        """
        self._expect(State.DECIDE_ALIVE)
        self._send(b"strue" if go_on else b"sfalse")
        self.state = State.AWAIT_CHALLENGE if go_on else State.CLOSED
        return self._proceed()

    def send_ack(self) -> list[HandshakeEvent]:
        """Acknowledge, once the old connection is gone (after :class:`DigestAccepted`).

        Raises:
            RuntimeError: not the moment.
        """
        self._expect(State.DECIDE_ACK)
        return [self._acknowledge()]

    # ------------------------------------------------------------------ messages

    def _proceed(self) -> list[HandshakeEvent]:
        """Read messages while the state wants one and a whole one is there."""
        events: list[HandshakeEvent] = []
        while self.state in _READS:
            if self.state is State.AWAIT_REPLY and self._cookie is None:
                break
            message = self._next_message(_READS[self.state])
            if message is None:
                break
            event = _HANDLERS[self.state](self, message)
            if event is not None:
                events.append(event)
        return events

    def _next_message(self, tag: bytes) -> bytes | None:
        """Cut the next message off the input; refuse a wrong one at its first wrong byte."""
        head = self._length_bytes
        if len(self._in) < head:
            return None
        length = int.from_bytes(self._in[:head], "big")
        is_wrong = len(self._in) > head and (length == 0 or self._in[head : head + 1] != tag)
        if is_wrong and not self._is_old_name(length):
            self._refuse_bytes()
        if length == 0 or length > _LONGEST_MESSAGE:
            self._refuse_bytes()
        if len(self._in) < head + length:
            return None
        message = bytes(self._in[head : head + length])
        del self._in[: head + length]
        if message[:1] == b"n" and tag == b"N":
            self._refuse_old_name(message)
        return message

    def _is_old_name(self, length: int) -> bool:
        """Return whether a name in the form of version 5 begins: ``n``, Version:16, Flags:32."""
        head = self._length_bytes
        begins = self.state is State.AWAIT_NAME and self._in[head : head + 1] == b"n"
        return begins and length > _OLD_NAME.size

    def _refuse_old_name(self, message: bytes) -> NoReturn:
        """Name what is missing to a dialler that speaks version 5 of the handshake."""
        _, version, flags = _OLD_NAME.unpack_from(message)
        self.peer_name = message[_OLD_NAME.size :].decode("latin-1")
        self._peer_flags = flags
        if flags & Flag.HANDSHAKE_23:
            self._fail(
                HandshakeError, "it was told that this node speaks no newer handshake than 5"
            )
        self._send(b"snot_allowed")
        lacking = flag_names(missing(flags, MANDATORY_25))
        self._fail(FlagError, f"it speaks version {version} of the handshake, and lacks {lacking}")

    def _refuse_bytes(self) -> NoReturn:
        start = bytes(self._in[:16])
        hint = ""
        if start[:2] in (b"\x16\x03", b"\x15\x03"):
            hint = " (that is TLS, and this connection is not)"
        elif self._length_bytes == 4 and start[2:3] in (b"N", b"s"):
            hint = " (that is a plain connection, and this one is TLS)"
        self._fail(HandshakeError, f"{start!r}... is not {self._awaited}{hint}")

    def _on_status(self, message: bytes) -> HandshakeEvent:
        text = message[1:]
        if text.startswith(b"named:"):
            return self._on_named(text[6:])
        status = _BY_TEXT.get(text)
        if status is Status.NOT_ALLOWED:
            lacking = missing(self.local.flags, MANDATORY_26)
            more = f", or demands {flag_names(lacking)}" if lacking else ""
            self._fail(NotAllowed, f"it does not allow {self.local.name} to connect{more}")
        if status is None:
            self._fail(HandshakeError, f"{text[:32]!r} is no status")
        if self._dynamic:
            self._fail(HandshakeError, f"status {status.value} to a node that asked for a name")
        self.state = _AFTER_STATUS[status]
        return StatusReceived(status)

    def _on_named(self, rest: bytes) -> HandshakeEvent:
        if not self._dynamic:
            self._fail(HandshakeError, "it gave a name to a node that has one")
        length = int.from_bytes(rest[:2], "big")
        if len(rest) < 2 + length + 4:
            self._fail(HandshakeError, "the name it gave is cut short")
        try:
            name = rest[2 : 2 + length].decode()
        except UnicodeDecodeError:
            self._fail(HandshakeError, "the name it gave is not UTF-8")
        parts = split_name(name)
        if parts is None or parts[1] != self.local.name or len(name) > MAX_ATOM_CHARACTERS:
            self._fail(HandshakeError, f"{name!r} is not a name at {self.local.name}")
        if name == self.peer_name:
            self._fail(HandshakeError, "it gave us its own name")
        creation = int.from_bytes(rest[2 + length : 6 + length], "big")
        self.local = LocalNode(name, creation, self.local.flags, self.local.long_names)
        self.state = State.AWAIT_CHALLENGE
        return StatusReceived(Status.NAMED, name, creation)

    def _on_challenge(self, message: bytes) -> None:
        if len(message) < _CHALLENGE.size:
            self._fail(HandshakeError, "the challenge is cut short")
        _, flags, challenge, creation, length = _CHALLENGE.unpack_from(message)
        name = message[_CHALLENGE.size : _CHALLENGE.size + length].decode("latin-1")
        if len(name) < length:
            self._fail(HandshakeError, "the name in the challenge is cut short")
        if name != self.peer_name:
            self._fail(NodeNameError, f"the node there calls itself {name!r}")
        self._peer_flags = expand(flags)
        self._peer_creation = creation
        self._check_flags()
        assert self._cookie is not None  # noqa: S101  given to dial
        self._send(b"r", struct.pack(">I", self._challenge), digest(self._cookie, challenge))
        self.state = State.AWAIT_ACK

    def _on_ack(self, message: bytes) -> HandshakeEvent:
        self._check_digest(message[1:], "the acknowledgement")
        return self._establish()

    def _on_name(self, message: bytes) -> HandshakeEvent:
        if len(message) < _NAME.size:
            self._fail(HandshakeError, "the name is cut short")
        _, flags, creation, length = _NAME.unpack_from(message)
        name = message[_NAME.size : _NAME.size + length].decode("latin-1")
        if len(name) < length:
            self._fail(HandshakeError, "the name is cut short")
        self._dynamic = bool(flags & Flag.NAME_ME)
        self._check_dialler(name)
        self.peer_name = name
        self._peer_flags = expand(flags)
        self._peer_creation = creation
        self._check_flags()
        self.state = State.DECIDE_STATUS
        return NameReceived(name, flags, creation, self._dynamic)

    def _on_alive_answer(self, message: bytes) -> HandshakeEvent:
        if message == b"sfalse":
            self.state = State.CLOSED
            return AliveAnswered(False)
        if message != b"strue":
            self._fail(HandshakeError, f"{message[1:33]!r} is no answer to alive")
        self._send_challenge()
        return AliveAnswered(True)

    def _on_reply(self, message: bytes) -> HandshakeEvent:
        self._peer_challenge = int.from_bytes(message[1:5], "big")
        self._check_digest(message[5:], "the reply")
        if self._was_alive:
            self.state = State.DECIDE_ACK
            return DigestAccepted()
        return self._acknowledge()

    # ------------------------------------------------------------------ steps

    def _send(self, *parts: bytes) -> None:
        self._out += sum(map(len, parts)).to_bytes(self._length_bytes, "big")
        for part in parts:
            self._out += part

    def _send_challenge(self) -> None:
        flags = _unnamed(self.local.flags) if self._dynamic else self.local.flags
        name = _latin1(self.local.name)
        self._send(
            _CHALLENGE.pack(b"N", flags, self._challenge, self.local.creation, len(name)), name
        )
        self.state = State.AWAIT_REPLY

    def _acknowledge(self) -> Established:
        assert self._cookie is not None  # noqa: S101  the reply was checked with it
        self._send(b"a", digest(self._cookie, self._peer_challenge))
        return self._establish()

    def _establish(self) -> Established:
        ours = _unnamed(self.local.flags) if self._dynamic else self.local.flags
        flags = int(expand(ours) & self._peer_flags)
        peer = Peer(
            Atom(self.peer_name),
            self._peer_creation,
            flags,
            hidden=not flags & Flag.PUBLISHED,  # as with an invented name on either side
            dynamic=self._dynamic and self.role == "accept",
        )
        rest = bytes(self._in)
        self._in.clear()
        self.state = State.ESTABLISHED
        return Established(peer, rest)

    # ------------------------------------------------------------------ checks

    @property
    def _awaited(self) -> str:
        return self.state.value

    def _expect(self, state: State) -> None:
        if self.state is not state:
            raise RuntimeError(f"out of turn: the handshake waits for {self._awaited}")

    def _fail(self, error: type[ConnectError], problem: str) -> NoReturn:
        self.error = error(self.peer_name, problem)
        self.state = State.FAILED
        self._in.clear()
        raise self.error

    def _check_flags(self) -> None:
        lacking = missing(self._peer_flags, MANDATORY_25)
        if lacking:
            if self.role == "accept":
                self._send(b"snot_allowed")
            self._fail(FlagError, f"it lacks {flag_names(lacking)}")

    def _check_digest(self, given: bytes, what: str) -> None:
        assert self._cookie is not None  # noqa: S101  the callers have seen to it
        if len(given) != DIGEST_BYTES:
            self._fail(HandshakeError, f"{what} has {len(given)} bytes of digest, not 16")
        if not digest_matches(self._cookie, self._challenge, given):
            self._fail(CookieError, f"the digest in {what} is wrong: the cookies differ")

    def _check_dialler(self, name: str) -> None:
        """Refuse a name that is none; and, unlike OTP, a short one among long ones."""
        if self._dynamic:
            host = name if "@" not in name else ""
        else:
            host = (split_name(name) or ("", ""))[1]
        if not host or len(name) > MAX_ATOM_CHARACTERS:
            self._fail(HandshakeError, f"{name[:300]!r} is no node name")
        if has_long_host(host) != self.local.long_names:
            self.peer_name = name
            self._send(b"snot_allowed")
            self._fail(NodeNameError, _mixed(name, self.local))


_AFTER_STATUS: Final = {
    Status.OK: State.AWAIT_CHALLENGE,
    Status.OK_SIMULTANEOUS: State.AWAIT_CHALLENGE,
    Status.NOK: State.REFUSED_FOR_OWN,
    Status.ALIVE: State.DECIDE_ALIVE,
}
_HANDLERS: Final[dict[State, Any]] = {
    State.AWAIT_STATUS: Handshake._on_status,
    State.AWAIT_CHALLENGE: Handshake._on_challenge,
    State.AWAIT_ACK: Handshake._on_ack,
    State.AWAIT_NAME: Handshake._on_name,
    State.AWAIT_ALIVE_ANSWER: Handshake._on_alive_answer,
    State.AWAIT_REPLY: Handshake._on_reply,
}


def _unnamed(flags: int) -> int:
    """Return the flags of a connection where one side's name is invented: hidden, NAME_ME."""
    return int((flags | Flag.NAME_ME) & ~Flag.PUBLISHED)


def _mixed(name: str, local: LocalNode) -> str:
    kinds = ("short", "long") if local.long_names else ("long", "short")
    return f"{name} is a {kinds[0]} name, and {local.name} a {kinds[1]} one"


def _check_peer_name(local: LocalNode, peer_name: str) -> None:
    parts = split_name(peer_name)
    if parts is None or len(peer_name) > MAX_ATOM_CHARACTERS:
        raise NodeNameError(peer_name, "a node name is name@host")
    if peer_name == local.name:
        raise NodeNameError(peer_name, "that is this node's own name")
    if has_long_host(parts[1]) != local.long_names:
        raise NodeNameError(peer_name, _mixed(peer_name, local))
    _latin1(peer_name)


def _latin1(name: str) -> bytes:
    try:
        return name.encode("latin-1")
    except UnicodeEncodeError:
        raise NodeNameError(name, "node names travel in Latin-1, and this one cannot") from None
