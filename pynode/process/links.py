"""Links, and the protocol by which they are taken away.

Between processes of this node a link is made and removed on both sides in one go.  Towards
another node an unlink is a question: until its acknowledgement is here, the link is *unlinking*,
and what the other side says of that link in the meantime (its EXIT, a LINK of its own that
crossed our UNLINK_ID) is ignored; linking again takes the question back, so that the late
acknowledgement means nothing.

``Process.links`` maps the pid at the other end to 0, or to the id of the outstanding unlink.

Source: "Distribution Protocol", "Link Protocol"; ``erl_bif_link`` and ``erl_monitor_link.c``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pynode.dist import control as c
from pynode.dist.flags import Flag
from pynode.process.words import NOCONNECTION, NOPROC
from pynode.terms import Pid

if TYPE_CHECKING:
    from pynode.process.nodes import RemoteNode
    from pynode.process.process import Process
    from pynode.process.runtime import Runtime

__all__ = ["Links"]

ACTIVE: Final = 0
_UNLINK_ID_FLAG: Final = int(Flag.UNLINK_ID)
_MAX_ID: Final = 2**64 - 1


class Links:
    """All links of one runtime's processes."""

    __slots__ = ("_last_id", "_runtime")

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._last_id = 0

    # ------------------------------------------------------------------ our own acts

    def link(self, process: Process, to: Pid) -> None:
        """Link ``process`` to ``to``; see :meth:`Runtime.link`."""
        if to == process.pid:
            return
        runtime = self._runtime
        if runtime.is_own(to):
            other = runtime.local(to)
            if other is None:
                runtime.deaths.exit_signal(process, to, NOPROC, by_link=True)
            else:
                self.join(process, other)
            return
        links = _links_of(process)
        if links.get(to) == ACTIVE:
            return
        runtime.router.signal(process, to.node, c.Link(process.pid, to))
        links[to] = ACTIVE
        runtime.nodes.remote(to.node).links.add((process, to))

    def join(self, one: Process, other: Process) -> None:
        """Link two live processes of this node."""
        _links_of(one)[other.pid] = ACTIVE
        _links_of(other)[one.pid] = ACTIVE

    def add_remote(self, process: Process, remote: Pid) -> None:
        """Note a link that the other node has made already."""
        _links_of(process)[remote] = ACTIVE
        self._runtime.nodes.remote(remote.node).links.add((process, remote))

    def unlink(self, process: Process, to: Pid) -> None:
        """Unlink; see :meth:`Runtime.unlink`."""
        links = process.links
        runtime = self._runtime
        if runtime.former:
            to = runtime.renewed(to)
        if links is None or links.get(to) != ACTIVE:
            return
        if to.node == runtime.node_name:
            del links[to]
            other = runtime.local(to)
            if other is not None and other.links is not None:
                other.links.pop(process.pid, None)
            return
        self._last_id = self._last_id % _MAX_ID + 1
        flags = runtime.router.agreed_flags(to.node)
        if flags and not flags & _UNLINK_ID_FLAG:
            self._remove(process, to)  # such a peer acknowledges nothing
            runtime.router.force(process.pid, to.node, c.Unlink(process.pid, to))
        else:
            links[to] = self._last_id
            runtime.router.force(process.pid, to.node, c.UnlinkId(self._last_id, process.pid, to))

    def _remove(self, process: Process, remote: Pid) -> None:
        if process.links is not None:
            process.links.pop(remote, None)
        node = self._runtime.nodes.find(remote.node)
        if node is not None:
            node.links.discard((process, remote))

    def process_ended(self, process: Process, reason: Any) -> None:
        """Send the exits of a process that has ended."""
        links, process.links = process.links, None
        if not links:
            return
        runtime = self._runtime
        for pid, state in links.items():
            if pid.node == runtime.node_name:
                other = runtime.local(pid)
                if other is not None and other.links is not None:
                    other.links.pop(process.pid, None)
                    runtime.deaths.exit_signal(other, process.pid, reason, by_link=True)
                continue
            node = runtime.nodes.find(pid.node)
            if node is None or (process, pid) not in node.links:
                continue  # its connection is lost, and nobody connects again to send an exit
            node.links.discard((process, pid))
            if state == ACTIVE:
                message = c.Exit(process.pid, pid, c.IN_PAYLOAD)
                runtime.router.force(process.pid, pid.node, message, reason)

    def renew(self, process: Process) -> None:
        """The node goes by another name: so do the processes of it that ``process`` is linked to.

        There are no links to other nodes then, for without a name there is no connection.
        """
        if process.links:
            runtime = self._runtime
            process.links = {runtime.renewed(pid): state for pid, state in process.links.items()}

    # ------------------------------------------------------------------ what peers do

    def on_link(self, message: c.Link) -> None:
        """LINK: a remote process links itself to one of ours."""
        process = self._runtime.local(message.to)
        if process is None:
            self.refuse(message)
        elif process.links is None or message.from_ not in process.links:
            self.add_remote(process, message.from_)

    def refuse(self, message: c.Link) -> None:
        """Answer ``noproc``: there is nobody to link to."""
        answer = c.Exit(message.to, message.from_, c.IN_PAYLOAD)
        self._runtime.router.force(message.to, message.from_.node, answer, NOPROC)

    def on_unlink(self, message: c.Unlink) -> None:
        """UNLINK of a peer without unlink ids."""
        process = self._runtime.local(message.to)
        if process is not None and process.links is not None:
            self._remove(process, message.from_)

    def on_unlink_id(self, message: c.UnlinkId) -> None:
        """UNLINK_ID: acknowledged always, and before anything else goes to that process."""
        process = self._runtime.local(message.to)
        if (
            process is not None
            and process.links is not None
            and process.links.get(message.from_) == ACTIVE
        ):
            self._remove(process, message.from_)
        self._runtime.router.force(
            message.to,
            message.from_.node,
            c.UnlinkIdAck(message.id, message.to, message.from_),
        )

    def on_unlink_id_ack(self, message: c.UnlinkIdAck) -> None:
        """UNLINK_ID_ACK: that unlink is done, unless it was taken back or asked again."""
        process = self._runtime.local(message.to)
        if (
            process is not None
            and process.links is not None
            and process.links.get(message.from_) == message.id
        ):
            self._remove(process, message.from_)

    def on_exit(self, process: Process, sender: Pid, reason: Any) -> None:
        """EXIT: the other end of a link is gone.  Ignored where there is no such link."""
        if process.links is None or sender not in process.links:
            return
        state = process.links[sender]
        self._remove(process, sender)
        if state == ACTIVE:
            self._runtime.deaths.exit_signal(process, sender, reason, by_link=True)

    def is_linked(self, process: Process, sender: Pid) -> bool:
        """Return whether an EXIT from ``sender`` would mean anything to ``process``."""
        return process.links is not None and process.links.get(sender) == ACTIVE

    def node_down(self, remote: RemoteNode) -> None:
        """The connection is lost: every link over it ends with ``noconnection``."""
        for process, pid in list(remote.links):
            links = process.links
            if links is not None and links.pop(pid, None) == ACTIVE:
                self._runtime.deaths.exit_signal(process, pid, NOCONNECTION, by_link=True)
        remote.links.clear()


def _links_of(process: Process) -> dict[Pid, int]:
    if process.links is None:
        process.links = {}
    return process.links
