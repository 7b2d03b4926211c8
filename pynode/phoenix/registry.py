"""Who subscribed to which topic, with what metadata."""

from __future__ import annotations

from typing import Any

from pynode.terms import Pid

__all__ = ["Registry"]


class Registry:
    """The subscriptions of one PubSub on this node.

    A process may subscribe to a topic several times, and then gets each message as often.
    """

    __slots__ = ("_pids", "_topics")

    def __init__(self) -> None:
        self._topics: dict[bytes, dict[Pid, list[Any]]] = {}
        self._pids: dict[Pid, set[bytes]] = {}

    def entries(self, topic: bytes) -> list[tuple[Pid, Any]]:
        """Return ``(pid, metadata)`` of each subscription to a topic."""
        return [
            (pid, metadata)
            for pid, each in self._topics.get(topic, {}).items()
            for metadata in each
        ]

    def pids(self) -> list[Pid]:
        """Return all processes with a subscription."""
        return list(self._pids)

    def add(self, topic: bytes, pid: Pid, metadata: Any) -> None:
        """Subscribe."""
        self._topics.setdefault(topic, {}).setdefault(pid, []).append(metadata)
        self._pids.setdefault(pid, set()).add(topic)

    def remove(self, topic: bytes, pid: Pid) -> bool:
        """End all subscriptions of ``pid`` to ``topic``; return whether they were its last."""
        subscribed = self._pids.get(pid)
        if subscribed is None or topic not in subscribed:
            return False
        pids = self._topics[topic]
        del pids[pid]
        if not pids:
            del self._topics[topic]
        subscribed.discard(topic)
        if subscribed:
            return False
        del self._pids[pid]
        return True

    def forget(self, pid: Pid) -> None:
        """End all subscriptions of a process."""
        for topic in list(self._pids.get(pid, ())):
            self.remove(topic, pid)
