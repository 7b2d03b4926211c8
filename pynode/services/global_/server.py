"""The name server: what ``global_name_server`` knows and does, as a state machine.

Three layers: :class:`.state.State` (nodes, names, locks), :class:`.sessions.Sessions` (joining),
and here the coming and going of nodes, with the prevention of overlapping partitions: everybody
is told of each lost connection, and who hears of it drops the lost node too.

Nothing here waits, reads a clock or sends by itself: see :class:`.ports.ServerHost`.

Source: global.erl, ``handle_nodedown``, "Prevent Overlapping Partitions Algorithm".
"""

from __future__ import annotations

import logging
from typing import Any

from pynode.terms import Atom, atom

from .partitions import LostConnections
from .sessions import Session, Sessions
from .wire import PREVENT_PARTITIONS, Malformed

__all__ = ["NameServer", "Session"]

logger = logging.getLogger("pynode.global")


class NameServer(Sessions):
    """The state of ``global_name_server`` on one node.

    ``creation_id`` tells this node's reports of lost connections from those of its earlier lives;
    like ``tag_base`` it comes from outside, for there is no randomness here.
    """

    def __init__(self, *args: Any, creation_id: int = 0, **options: Any) -> None:
        super().__init__(*args, **options)
        #: Nodes taken out by agreement: their nodedown is no loss to report.
        self._removing: set[Atom] = set()
        #: Nodes whose next nodedown has been dealt with already.
        self._expected_down: set[Atom] = set()
        self._lost = LostConnections()
        self._creation_id = creation_id
        self._last_report = 0

    # ------------------------------------------------------------------ nodes come and go

    def nodeup(self, node: Atom) -> None:
        """A visible node is connected."""
        self.connected.add(node)
        if self.connect_all:
            self._start_session(node)

    def nodedown(self, node: Atom) -> None:
        """A visible node is gone.  Every nodeup is followed by exactly one of these.

        The monitors have freed its locks already; unless a set_lock waited in the mailbox while
        the connection was lost and made again, for then the new monitor holds, and the process
        that asked was told noconnection and will never delete the lock.
        """
        self.sync_lost(node)
        self.locks.delete_node(node)
        if node in self._expected_down:
            self._expected_down.discard(node)
            return
        self._forget_connection(node)

    def extra_nodedown(self, node: Atom) -> None:
        """A node that others know cannot be reached from here: as if it had gone down."""
        self.sync_lost(node)
        self._forget_connection(node)

    def _forget_connection(self, node: Atom) -> None:
        if node in self._removing:
            self._removing.discard(node)
        else:
            self._report_loss(node)
        self._remove(node)
        self.connected.discard(node)

    def disconnect_all(self) -> list[Atom]:
        """Leave the cluster: close every connection, and report no loss (``disconnect/0``)."""
        nodes = sorted(self.connected, key=lambda node: node.name)
        for node in nodes:
            self._expected_down.add(node)
            self.host.disconnect(node)
            self._remove(node)
            self._removing.discard(node)
            self.connected.discard(node)
        return nodes

    def prepare_shutdown(self) -> None:
        """From here on report no loss: the connections are about to be closed."""
        self.connect_all = False
        self.prevent = False

    # ------------------------------------------------------------------ overlapping partitions

    def _report_loss(self, node: Atom) -> None:
        if self.connect_all and self.prevent:
            self._last_report += 1
            report = (atom.lost_connection, self.node, self._creation_id, self._last_report, node)
            self._multicast(report, node)

    def _multicast(self, message: Any, except_node: Atom) -> None:
        for nodes in (self.known, self.pending):
            for node, version in nodes.items():
                if node != except_node and version >= PREVENT_PARTITIONS:
                    self.host.send(node, message)

    def lost_connection(self, reporter: Any, life: Any, number: Any, lost: Any) -> None:
        """``{lost_connection, Reporter, Life, Number, Lost}``: drop Lost too."""
        if not (self.connect_all and self.prevent):
            return
        match reporter, number, lost:
            case Atom(), int(), Atom():
                pass
            case _:
                raise Malformed((reporter, number, lost))
        if not self._lost.is_news(reporter, life, number, lost):
            return
        report = (atom.lost_connection, reporter, life, number, lost)
        self._multicast(report, reporter)
        # All others will drop us if we are the lost one, so it is enough to drop the reporter.
        node = reporter if lost == self.node else lost
        if node not in self.known and node not in self.pending:
            return
        if self.version_of(node) < PREVENT_PARTITIONS:
            self.host.disconnect(node)
        else:
            self.host.send(node, (atom.remove_connection, self.node))
        self._exclude(node, "asked for the end of its connection to", f"{reporter} has lost {lost}")

    def remove_connection(self, node: Atom) -> None:
        """``{remove_connection, Node}``: that node wants its connection with us closed.

        Also when we have asked the same of it in the same moment: OTP then leaves it to the
        other side, and between two that do, the connection stays, and neither knows the other.
        """
        if node in self.known or node in self.pending:
            self.host.disconnect(node)
            self._exclude(node, "disconnected from", f"{node} asked for it")
        elif node in self._removing:
            self.host.disconnect(node)

    def _exclude(self, node: Atom, what: str, why: str) -> None:
        logger.warning(
            "global at %s %s %s, to prevent overlapping partitions: %s", self.node, what, node, why
        )
        self._remove(node)
        self._removing.add(node)
