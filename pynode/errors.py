"""Every exception of this package, in one tree.

::

    PynodeError
    +-- ConfigError(ValueError)             an option that cannot be used
    +-- TermError(ValueError)
    |   +-- EncodeError                     a value that is no Erlang term
    |   +-- DecodeError                     bytes that are no term; carries the offset
    +-- ProtocolError                       a peer broke the distribution protocol
    |   +-- FrameError                      a frame, header, fragment, control message
    |   +-- HandshakeError                  in the handshake (also a ConnectError)
    +-- ConnectError(ConnectionError)       no connection to a node; ``node`` names it
    |   +-- NodeNameError                   short against long names, no ``@``, our own name
    |   +-- HostError                       the host part does not resolve, or has no route
    |   +-- EpmdError                       EPMD on that host does not answer, or refuses us
    |   +-- NoSuchNode                      EPMD answers, and knows no node of that name
    |   +-- PortClosed                      the node's port refuses the connection
    |   +-- CookieError                     one side does not accept the other's cookie
    |   +-- TlsError                        one side speaks TLS alone, or a certificate is refused
    |   +-- FlagError                       a capability flag that one side requires is missing
    |   +-- NameTakenError                  the peer, or EPMD, has a node of our name already
    |   +-- NotAllowed                      the peer refuses nodes of our name
    |   +-- HandshakeError                  bytes or a status that have no place in the handshake
    |   +-- ConnectTimeout(TimeoutError)    a step took longer than its deadline
    |   +-- ConnectionAborted               the connection was closed while it was being set up
    +-- DiscoveryError                      a place to look for nodes cannot be looked at
    +-- NodeDown                            the node is not running (not started, or stopped)
    +-- PeerBusy                            a peer's queue is above ``Limits.peer_queue_bytes``
    +-- ProcessDead                         a process that has ended cannot act, nor receive
    +-- NameError_                          a name is taken, or is not registered
    +-- CallExit                            a call ended as ``exit(Reason)`` would end it
    |   +-- NoProcess                       ``noproc``
    |   +-- NoConnection                    ``noconnection``, ``{nodedown, Node}``
    |   +-- CallTimeout(TimeoutError)       ``timeout``
    |   +-- CallerDead(ProcessDead)         the caller has ended; ``main`` does as the node stops
    |   +-- CallingSelf                     ``calling_self``
    +-- RemoteError                         a remote call raised; class, reason and stack
    +-- DeviceError                         an I/O request failed; ``reason``
    +-- FunctionClause                      a callback has no clause for this request
    +-- StartError                          a server did not start; ``reason`` is its ``{error, _}``
    |   +-- AlreadyStarted                  a live process has the name; ``pid``
    |   +-- StartIgnored                    ``init`` raised :class:`Ignore`
    +-- ChildError                          a supervisor's ``{error, _}`` about a child it has
    Exit(BaseException)                     ends the process that raises it, with ``reason``
    +-- Stop                                ends a server; ``reply`` is sent first
    +-- Ignore                              ``init`` declines to start
    +-- RemoveHandler                       an event handler leaves its manager
    +-- SwapHandler                         an event handler makes way for another

Errors that a peer causes carry what it sent; errors that the caller causes say what to do
instead.  ``str(error)`` is computed from the attributes, so that a log line and a program read
the same facts.
"""

from __future__ import annotations

from typing import Any, Final

from pynode.shown import cut, shown

__all__ = [
    "NO_REPLY",
    "AlreadyStarted",
    "CallExit",
    "CallTimeout",
    "CallerDead",
    "CallingSelf",
    "ChildError",
    "ConfigError",
    "ConnectError",
    "ConnectTimeout",
    "ConnectionAborted",
    "CookieError",
    "DecodeError",
    "DeviceError",
    "DiscoveryError",
    "EncodeError",
    "EpmdError",
    "Exit",
    "FlagError",
    "FrameError",
    "FunctionClause",
    "HandshakeError",
    "HostError",
    "Ignore",
    "NameError_",
    "NameTakenError",
    "NoConnection",
    "NoProcess",
    "NoSuchNode",
    "NodeDown",
    "NodeNameError",
    "NotAllowed",
    "PeerBusy",
    "PortClosed",
    "ProcessDead",
    "ProtocolError",
    "PynodeError",
    "RemoteError",
    "RemoveHandler",
    "StartError",
    "StartIgnored",
    "Stop",
    "SwapHandler",
    "TermError",
    "TlsError",
]


def _repr(error: BaseException) -> str:
    """Write an exception as Python does, but with what a peer sent shown bounded."""
    return f"{type(error).__name__}({', '.join(repr(shown(each)) for each in error.args)})"


class PynodeError(Exception):
    """The root of what this package raises, :class:`Exit` and its children excepted."""

    __repr__ = _repr


class ConfigError(PynodeError, ValueError):
    """An option of the node, or a file it names, cannot be used."""


# --------------------------------------------------------------------------- terms


class TermError(PynodeError, ValueError):
    """A value and its external form do not fit together."""


class EncodeError(TermError):
    """A Python value has no Erlang term; nothing was sent.

    ``callback`` is the ``(module, function, arity)`` that returned it, where a callback did.
    """

    def __init__(self, *args: Any, callback: tuple[Any, Any, int] | None = None) -> None:
        super().__init__(*args)
        self.callback: Final = callback


class DecodeError(TermError):
    """Bytes that are no term, or a term beyond :class:`pynode.config.Limits`.

    ``offset`` is where, in bytes from the start of what was given to decode, the reader stood.
    """

    def __init__(self, problem: str, offset: int) -> None:
        super().__init__(problem, offset)
        self.problem: Final = problem
        self.offset: Final = offset

    def __str__(self) -> str:
        return f"{self.problem} (at byte {self.offset})"


# --------------------------------------------------------------------------- protocol


class ProtocolError(PynodeError):
    """A peer sent what the distribution protocol does not allow."""


class FrameError(ProtocolError):
    """A frame, its header, a fragment or a control message is wrong; costs the connection."""

    def __init__(self, problem: str, offset: int = 0) -> None:
        super().__init__(problem, offset)
        self.problem: Final = problem
        self.offset: Final = offset

    def __str__(self) -> str:
        return f"{self.problem} (at byte {self.offset} of the frame)"


class ConnectError(PynodeError, ConnectionError):
    """No connection to ``node``; ``problem`` says why.  Each child is one cause."""

    def __init__(self, node: str, problem: str) -> None:
        super().__init__(node, problem)
        self.node: Final = node
        self.problem: Final = problem

    def __str__(self) -> str:
        return f"{self.node}: {self.problem}" if self.node else self.problem


class NodeNameError(ConnectError):
    """The name cannot be a peer of ours: no host, short against long names, our own name."""


class HostError(ConnectError):
    """The host part of the name does not resolve, or cannot be reached."""


class EpmdError(ConnectError):
    """EPMD does not answer on that host, or answers what EPMD does not."""


class NoSuchNode(ConnectError):
    """EPMD runs on that host and has no node of that name."""


class PortClosed(ConnectError):
    """EPMD names a port, and nothing accepts connections there."""


class CookieError(ConnectError):
    """The cookies differ: the peer's digest is wrong, or it hung up on ours."""


class TlsError(ConnectError):
    """TLS could not be agreed on: one side does not speak it, or refuses a certificate."""


class FlagError(ConnectError):
    """A capability that one side cannot do without is not offered by the other."""


class NameTakenError(ConnectError):
    """A live node already bears our name, at the peer or at EPMD."""


class NotAllowed(ConnectError):
    """The peer answered ``not_allowed``."""


class HandshakeError(ConnectError, ProtocolError):
    """Bytes or a status that have no place at this step of the handshake."""


class ConnectTimeout(ConnectError, TimeoutError):
    """A step of connecting took longer than its deadline."""


class ConnectionAborted(ConnectError):
    """The peer, or this node's own :meth:`stop`, closed the connection during set-up."""


class DiscoveryError(PynodeError):
    """``source`` (an EPMD, a file, a name in the DNS) has not said which nodes there are."""

    def __init__(self, source: str, problem: str) -> None:
        super().__init__(source, problem)
        self.source: Final = source
        self.problem: Final = problem

    def __str__(self) -> str:
        return f"{self.source}: {self.problem}"


# --------------------------------------------------------------------------- node and processes


class NodeDown(PynodeError):
    """The node is not running: it was not started, or has been stopped."""


class PeerBusy(PynodeError):
    """More than ``Limits.peer_queue_bytes`` is waiting for ``node``; this signal was not sent."""

    def __init__(self, node: str, queued_bytes: int) -> None:
        super().__init__(node, queued_bytes)
        self.node: Final = node
        self.queued_bytes: Final = queued_bytes

    def __str__(self) -> str:
        return f"{self.node}: {self.queued_bytes} bytes are waiting to be sent"


class ProcessDead(PynodeError):
    """The process ``pid`` has ended with ``reason``: it sends and receives nothing any more.

    Raised in the clean-up of a coroutine that outlives its process, and at whoever waits for a
    message of a process that ends.
    """

    def __init__(self, pid: Any, reason: Any) -> None:
        super().__init__(pid, reason)
        self.pid: Final = pid
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.pid!r} has ended: {shown(self.reason)!r}"


class NameError_(PynodeError):
    """A local name is already registered, or not registered, or cannot be a name."""


class CallExit(PynodeError):
    """A call could not be completed; ``reason`` is the term that ``exit/1`` would carry.

    ``call`` is the ``(module, function, arguments)`` that Erlang adds, or None.  ``raised`` is
    what the server raised, where the reason is ``{Raised, Stack}``: its exception's name and text,
    as far as the reason tells them, are in this one's text, and its stack in a note.
    """

    raised: RemoteError | None = None

    def __init__(self, reason: Any, call: Any = None) -> None:
        super().__init__(reason, call)
        self.reason = reason
        self.call: Final = call

    def __str__(self) -> str:
        text = self._said()
        match self.call:
            case None:
                return text
            case (module, function, list(arguments)):
                inside = f"{shown(arguments)!r}"[1:-1]
                return f"{text}, in {module}:{function}({inside})"
        return f"{text}, in {shown(self.call)!r}"

    def _said(self) -> str:
        return f"exit: {shown(self.reason)!r}" if self.raised is None else f"{self.raised}"


class NoProcess(CallExit):
    """``noproc``: no such process, or no process of that name."""

    def _said(self) -> str:
        return "noproc: no such process, or none of that name"


class NoConnection(CallExit):
    """``noconnection`` or ``{nodedown, Node}``: the connection was lost, or never came up.

    ``__cause__`` is the :class:`ConnectError` that says why it never came up, where it was tried
    for this call; else None.
    """

    def _said(self) -> str:
        if type(self.reason) is tuple and len(self.reason) == 2:
            text = f"nodedown: no connection to {self.reason[1]}"
        else:
            text = "noconnection: no connection to the node"
        cause = self.__cause__
        return f"{text} ({cause.problem})" if isinstance(cause, ConnectError) else text


class CallTimeout(CallExit, TimeoutError):
    """``timeout``: no reply in time.  A later reply is dropped."""

    def _said(self) -> str:
        return "timeout: no reply in time"


class CallingSelf(CallExit):
    """``calling_self``: a process called itself, and would wait for ever."""

    def _said(self) -> str:
        return "calling_self: a process cannot call itself"


class CallerDead(CallExit, ProcessDead):
    """The process ``pid``, which called, has ended with ``reason`` before there was a reply.

    ``node.main`` ends when the node stops.
    """

    def __init__(self, pid: Any, reason: Any, call: Any = None) -> None:
        CallExit.__init__(self, reason, call)
        ProcessDead.__init__(self, pid, reason)
        self.args = (pid, reason, call)

    def _said(self) -> str:
        return f"the caller {self.pid!r} has ended: {shown(self.reason)!r}"


class RemoteError(PynodeError):
    """A function called on another node raised.

    ``kind`` is ``"error"``, ``"throw"`` or ``"exit"``; ``reason`` the term; ``stack`` the
    stack trace as Erlang gives it (a list, empty where there is none), which also stands, line by
    line, in a note.  ``node`` is where it was, None if that is not known.

    ``exception`` is the name of the exception as its own side writes it (``"ArgumentError"``,
    ``"MyApp.Error"``, ``"ValueError"``), None where the term stands for none; ``message`` its
    text.
    """

    def __init__(
        self,
        kind: str,
        reason: Any,
        stack: Any = (),
        *,
        node: Any = None,
        exception: str | None = None,
        message: str | None = None,
    ) -> None:
        super().__init__(kind, reason, stack)
        self.kind: Final = kind
        self.reason: Final = reason
        self.stack: Final = stack
        self.node: Final = node
        self.exception = exception
        self._message = message

    @property
    def message(self) -> str:
        """What it says: the exception's message, else Erlang's words, else the term."""
        return f"{shown(self.reason)!r}" if self._message is None else self._message

    def describe(self, exception: str | None, message: str | None) -> None:
        """Set what only the other node knows: how it names the exception, and its message."""
        self.exception = exception
        self._message = message

    def __str__(self) -> str:
        place = "" if self.node is None else f" on {self.node}"
        if self._message is not None:
            head = f"{self.exception or self.kind}{place}"
            said = cut(self._message).rstrip()
            return f"{head}: {said}" if said else head
        text = f"{self.kind}{place}: {shown(self.reason)!r}"
        match self.stack:
            case [(module, function, arguments, *_), *_]:  # or their number
                return f"{text} in {shown((module, function, arguments))!r}"
        return text


class DeviceError(PynodeError):
    """An I/O request could not be carried out; ``reason`` is the term of ``{error, Reason}``.

    ``terminated``: there is no such device any more; ``down`` is then what ended it, such as
    ``noproc`` or ``noconnection``.
    """

    def __init__(self, reason: Any, *, down: Any = None) -> None:
        super().__init__(reason, down)
        self.reason: Final = reason
        self.down: Final = down

    def __str__(self) -> str:
        text = f"I/O device: {shown(self.reason)!r}"
        return text if self.down is None else f"{text} ({shown(self.down)!r})"


class StartError(PynodeError):
    """A server did not start; ``reason`` is the term of Erlang's ``{error, Reason}``.

    The process has ended, and a name it was to have is free again.  Where an exception of this
    program was the cause, it is the ``__cause__``.
    """

    def __init__(self, reason: Any) -> None:
        super().__init__(reason)
        self.reason: Final = reason

    def __str__(self) -> str:
        return f"not started: {shown(self.reason)!r}"


class AlreadyStarted(StartError):
    """``{already_started, Pid}``: the name belongs to the live process ``pid``."""

    def __init__(self, reason: Any, pid: Any) -> None:
        super().__init__(reason)
        self.pid: Final = pid


class StartIgnored(StartError):
    """``ignore``: ``init`` raised :class:`Ignore`; the process ended ``normal``."""


class ChildError(PynodeError):
    """A supervisor refuses what it is asked about a child.

    ``reason`` is ``not_found``, ``running``, ``restarting`` or ``simple_one_for_one``.
    """

    def __init__(self, reason: Any) -> None:
        super().__init__(reason)
        self.reason: Final = reason

    def __str__(self) -> str:
        return f"{shown(self.reason)!r}"


class FunctionClause(PynodeError):
    """A callback has no clause for ``request``; ends the server as ``function_clause`` does.

    ``callback`` is ``(module, name, arity)``, in Erlang's words, where there is no such callback
    at all; else None.
    """

    def __init__(
        self, request: Any = None, *, callback: tuple[Any, Any, int] | None = None
    ) -> None:
        super().__init__(request)
        self.request: Final = request
        self.callback: Final = callback

    def __str__(self) -> str:
        if self.callback is not None:
            module, name, _ = self.callback
            return f"{module} defines no {name}, and there was {shown(self.request)!r} for it"
        return f"no clause for {shown(self.request)!r}"


# --------------------------------------------------------------------------- control flow


class Exit(BaseException):
    """Ends the process that raises it with ``reason``, as ``exit/1`` does.

    Not an :class:`Exception`, so that ``except Exception`` in user code does not keep a process
    alive that was told to go.
    """

    __repr__ = _repr

    def __init__(self, reason: Any = None) -> None:
        super().__init__(reason)
        self.reason: Final = reason

    def __str__(self) -> str:
        return f"{shown(self.reason)!r}"


class _NoReply:
    __slots__ = ()

    def __repr__(self) -> str:
        return "NO_REPLY"


#: Returned by ``handle_call`` when the reply comes later, by ``caller.reply(...)``.
NO_REPLY: Final = _NoReply()


class Stop(Exit):
    """Raised in a server's callback: stop with ``reason``; ``reply`` is sent to the caller first.

    In ``init``: the start fails with ``{error, Reason}``.
    """

    def __init__(self, reason: Any, *, reply: Any = NO_REPLY) -> None:
        super().__init__(reason)
        self.reply: Final = reply


class Ignore(Exit):
    """Raised in ``init``: do not start, and do not call it a failure (``ignore``)."""


class RemoveHandler(Exit):
    """Raised in an event handler's callback: remove me; ``reply`` answers a ``handle_call``."""

    def __init__(self, reply: Any = NO_REPLY) -> None:
        super().__init__(None)
        self.reply: Final = reply


class SwapHandler(Exit):
    """Raised in an event handler's callback: put ``handler`` in my place.

    ``terminate(arguments)`` of the old one runs first; the new one's ``init`` gets
    ``(new_arguments, what terminate returned)``.  ``handler`` is a handler class or an id the
    manager knows.  ``reply`` answers a ``handle_call``.
    """

    def __init__(
        self, arguments: Any, handler: Any, new_arguments: Any, *, reply: Any = NO_REPLY
    ) -> None:
        super().__init__(None)
        self.arguments: Final = arguments
        self.handler: Final = handler
        self.new_arguments: Final = new_arguments
        self.reply: Final = reply
