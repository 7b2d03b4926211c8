"""Delivery: from a send to a mailbox, here or on the way to another node.

The lowest layer of :class:`pynode.process.runtime.Runtime`; everything that puts a message into
a mailbox goes through here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from pynode.dist import control as c
from pynode.errors import NameError_, NodeDown, ProcessDead
from pynode.process._core import stepping
from pynode.process.mailbox import Mailbox
from pynode.process.names import as_atom
from pynode.process.words import IO_REPLY
from pynode.shown import shown
from pynode.terms import Atom, ImproperList, Pid, Reference, copy_term, to_text

if TYPE_CHECKING:
    from pynode.process.calls import CallSlot
    from pynode.process.monitors import Alias
    from pynode.process.names import Names
    from pynode.process.process import Process
    from pynode.process.router import Router
    from pynode.process.scheduler import Scheduler

__all__ = ["Delivery", "Dest"]

#: Where a message goes: a pid, a local name, ``(name, node)``, or an alias.
Dest = Pid | Atom | str | tuple[Atom | str, Atom | str] | Reference

_PRIORITY: Final = 1
#: To a process of this node, compiled; it says False to what needs a closer look.
_send_local: Any = None if stepping is None else stepping.send_local
_TO_ALIAS: Final = 4


class _Core:
    """What the compiled way to spawn reads from here."""


if not TYPE_CHECKING and stepping is not None:
    _Core = stepping.RuntimeCore


class Delivery(_Core):
    """Sending and delivering; what it declares, the runtime makes."""

    node_name: Atom
    creation: int
    #: The names, with their creations, that a node without a name of its own has gone by before.
    former: dict[tuple[Atom, int], None]
    stopped: bool
    gone_because: str
    #: The compiled way to other nodes; it refuses what needs a closer look.
    quick: Any
    names: Names
    router: Router
    scheduler: Scheduler
    #: Active aliases, calls under way among them.
    aliases: dict[Reference, Alias | CallSlot]
    _table: dict[int, Process]

    def local(self, pid: Pid) -> Process | None:
        """Return the live process of this node that ``pid`` means, None for any other pid.

        A pid of an earlier life of the node, which has another creation, means nobody.
        """
        process = self._table.get(pid.id)
        if process is None:
            return None
        if process.pid is pid or process.pid == pid:
            return process
        if self.former and pid.serial == process.pid.serial and self.is_own(pid):
            return process if process.pid == self.renewed(pid) else None
        return None

    def is_own(self, identifier: Pid | Reference) -> bool:
        """Return whether this node has made ``identifier``, or one of its name has."""
        node = identifier.node
        return node == self.node_name or (
            bool(self.former) and (node, identifier.creation) in self.former
        )

    def renewed(self, pid: Pid) -> Pid:
        """Return ``pid`` as it is now, where it is of a name that this node has lost."""
        if (pid.node, pid.creation) not in self.former:
            return pid
        return Pid(self.node_name, pid.id, pid.serial, self.creation)

    def send(self, process: Process, dest: Dest, message: Any, *, priority: bool = False) -> None:
        """Send ``message``; never waits, and never fails for want of a receiver.

        Messages of one process to one other arrive in the order of the sends.  ``message`` is
        copied by the rules of values before this returns.  If the receiver's node is busy,
        ``process`` is held at its next await of the runtime.

        Args:
            process: the sender.
            dest: a pid, a name of this node, ``(name, node)``, or an alias.
            message: a term.
            priority: where ``dest`` is an alias made with ``priority``, put the message before
                the ordinary ones (OTP 28); elsewhere without effect.

        Raises:
            NameError_: a name that is not registered on this node (badarg in Erlang).  With
                ``(name, node)`` a missing name is no error.
            EncodeError: ``message`` is no term; nothing was sent.
            PeerBusy: too much is waiting for that node; nothing was sent.
            TypeError: ``dest`` is none of these.
            ProcessDead: ``process`` has ended.
        """
        if _send_local is not None and _send_local(process, dest, message):
            return
        quick = self.quick
        if (
            quick is not None
            and (type(dest) is Pid or (type(dest) is Reference and not priority))
            and quick.send(process, dest, message)
        ):
            return
        if not process.alive:
            raise self.refusal(process)
        handler = _SENDERS.get(type(dest))
        if handler is None:
            handler = _sender_of(dest)
        handler(self, process, dest, message, priority)

    def refusal(self, process: Process) -> Exception:
        """Return the error for an act of a process that has ended."""
        if self.stopped:
            return NodeDown(self.gone_because)
        return ProcessDead(process.pid, process.exit_reason)

    def _send_pid(self, process: Process, dest: Pid, message: Any, priority: bool) -> None:
        if dest.node == self.node_name or (self.former and self.is_own(dest)):
            message = copy_term(message)
            target = self.local(dest)
            if target is not None:
                self.tell(target, message)
        else:
            self.router.send(process, dest.node, c.SendSender(process.pid, dest), message)

    def _send_name(self, process: Process, dest: Atom | str, message: Any, priority: bool) -> None:
        target = self.names.find(as_atom(dest))
        if target is None:
            raise NameError_(f"{dest} is not registered")
        self.tell(target, copy_term(message))

    def _send_name_node(
        self, process: Process, dest: tuple[Atom | str, Atom | str], message: Any, priority: bool
    ) -> None:
        if len(dest) != 2:
            raise TypeError(f"{shown(dest)!r} is not (name, node)")
        name, node = as_atom(dest[0]), as_atom(dest[1])
        if node == self.node_name:
            message = copy_term(message)
            target = self.names.find(name)
            if target is not None:
                self.tell(target, message)
        else:
            self.router.send(process, node, c.RegSend(process.pid, name), message)

    def _send_alias(self, process: Process, dest: Reference, message: Any, priority: bool) -> None:
        if self.is_own(dest):
            message = copy_term(message)
            alias = self.aliases.get(dest)
            if alias is not None:
                alias.take(message, urgent=priority)
        else:
            control: c.Control
            if priority:
                control = c.AltactSend(_PRIORITY | _TO_ALIAS, process.pid, dest)
            else:
                control = c.AliasSend(process.pid, dest)
            self.router.send(process, dest.node, control, message)

    def tell(self, process: Process, message: Any) -> None:
        """Put ``message``, a term of nobody else's, into the mailbox of a live process."""
        if process.text:
            message = to_text(message)
        self.put(process, message)

    def put(self, process: Process, message: Any) -> None:
        """Put ``message`` into the mailbox as it is, a reply to a call under way excepted."""
        if not process.alive:
            return
        extra = process.rare
        if extra is not None and extra.calls and self._is_reply(extra.calls, message):
            return
        mailbox = process.mailbox
        if mailbox is None:
            mailbox = process.mailbox = Mailbox()
        mailbox.append(message)
        self._wake(process)

    def tell_urgent(self, process: Process, message: Any) -> None:
        """Put a priority message into the front section of the mailbox."""
        if not process.alive:
            return
        if process.mailbox is None:
            process.mailbox = Mailbox()
        if process.text:
            message = to_text(message)
        process.mailbox.push_priority(message, process.receivers)
        self._wake(process)

    def _wake(self, process: Process) -> None:
        if process.receivers is not None:
            for receiver in process.receivers:
                receiver.wake()
        if process.task is None and process.body is not None:
            self.scheduler.ready(process)

    def _is_reply(self, calls: dict[Reference, CallSlot], message: Any) -> bool:
        """Decide the call that a message ``{[alias|Ref], Reply}`` at the pid itself answers."""
        if type(message) is not tuple or len(message) != 2:
            return self._is_io_reply(calls, message)
        tag = message[0]
        if type(tag) is not ImproperList or type(tag.tail) is not Reference:
            return False
        slot = calls.get(tag.tail)
        if slot is None or slot.tag != tag:
            return False
        slot.replied(message[1])
        return True

    def _is_io_reply(self, calls: dict[Reference, CallSlot], message: Any) -> bool:
        """Decide the request that a message ``{io_reply, Ref, Answer}`` answers."""
        match message:
            case (word, Reference() as ref, answer) if type(word) is Atom and word == IO_REPLY:
                slot = calls.get(ref)
                if slot is not None and slot.tag == ref:
                    slot.replied(answer)
                    return True
        return False


if not TYPE_CHECKING and stepping is not None:
    Delivery.put, Delivery.tell, Delivery._wake = stepping.put, stepping.tell, stepping.wake


_SENDERS: Final[dict[type, Callable[..., None]]] = {
    Pid: Delivery._send_pid,
    Atom: Delivery._send_name,
    str: Delivery._send_name,
    tuple: Delivery._send_name_node,
    Reference: Delivery._send_alias,
}


def _sender_of(dest: Any) -> Callable[..., None]:
    for kind in (str, tuple):
        if isinstance(dest, kind):
            return _SENDERS[kind]
    raise TypeError(
        f"a message goes to a pid, a name, (name, node) or an alias, not to {shown(dest)!r}"
    )
