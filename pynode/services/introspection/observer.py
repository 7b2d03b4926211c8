"""What ``etop`` and ``observer`` ask of the node that they watch.

Both have the node run functions of ``observer_backend`` there, linked to who asks, and take what
is sent; ``observer``'s page of applications speaks with a process of ``appmon_info``.  A list of
processes is made in slices, between which the node does its other work.

There are no ports, sockets, ets tables and allocators of a BEAM here: their lists are empty.
What ``etop`` traces beside this is in :mod:`.tracing`.

Source: observer_backend.erl and appmon_info.erl of runtime_tools; etop.erl, observer_*.erl;
OTP 25, 27, 29.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from pynode.behaviours import gen
from pynode.behaviours.body import BehaviourBody
from pynode.behaviours.status import pid_text
from pynode.errors import Exit, PeerBusy, RemoteError
from pynode.services.service import acting
from pynode.terms import Atom, Pid, atom, charlist

from .facts import ITEMS, atoms, current_function, named_after, size_bytes
from .processes import badarg, function_clause

if TYPE_CHECKING:
    from pynode.process.process import Process
    from pynode.process.runtime import Runtime

    from .system import SystemFunctions

__all__ = ["ObserverFunctions"]

#: Processes that are looked at in one go.
_SLICE: Final = 200
#: Processes in one message to ``observer``.
_CHUNK: Final = 2_000
#: The shortest time between two samples, in seconds.
_SHORTEST: Final = 0.01
#: Open pages of applications; processes and tasks of one.
_MOST_MONITORS: Final = 16
_MOST_BOXES: Final = 1_000
_MOST_TASKS: Final = 100
#: Seconds after which such a page is brought up to date.
_INTERVAL: Final = 2.0

_APPLICATION: Final = atom.pynode
_QUEUE_LEN: Final = ITEMS[atom.message_queue_len]
_GEN_CALL: Final = atom("$gen_call")
_GEN_CAST: Final = atom("$gen_cast")
_EXIT: Final = atom("EXIT")
_MEMI: Final = atoms("total processes ets atom code binary")


class ObserverFunctions:
    """``observer_backend`` and ``appmon_info`` of one node."""

    def __init__(self, runtime: Runtime, system: SystemFunctions, application: Any) -> None:
        self._runtime = runtime
        self._system = system
        #: ``{Name, Description, Version}``.
        self._application = application
        self._monitors = 0

    def table(self) -> dict[tuple[str, str, int], Callable[..., Any]]:
        """Return the functions."""
        backend = "observer_backend"
        return {
            (backend, "etop_collect", 1): self.etop_collect,
            (backend, "fetch_stats", 2): self.fetch_stats,
            (backend, "get_port_list", 0): list,
            (backend, "get_socket_list", 0): list,
            (backend, "get_table_list", 2): self._get_table_list,
            (backend, "procs_info", 1): self.procs_info,
            (backend, "socket_info", 0): list,
            (backend, "sys_info", 0): self._system.sys_info,
            (backend, "vsn", 0): lambda: (atom.ok, self._application[2]),
            ("appmon_info", "start_link2", 3): self._start_link2,
        }

    # ------------------------------------------------------------------ lists of processes

    async def etop_collect(self, collector: Any) -> None:
        """Send ``{Self, #etop_info{}}`` to ``collector``."""
        me = self._asked_for(collector)
        found: list[Any] = []
        async for part in self._slices(me):
            found += part
        seconds, micro = divmod(time.time_ns() // 1000, 1_000_000)
        info: Any = (
            atom.etop_info,
            (seconds // 1_000_000, seconds % 1_000_000, micro),
            len(found),
            atom.undefined,
            self._system.scheduler_wall_time(),
            self._system.run_queue(),
            [],
            self._system.memory_of(_MEMI),
            found,
        )
        self._runtime.send(me, collector, (me.pid, info))

    async def procs_info(self, collector: Any) -> None:
        """Send ``{procs_info, Self, [#etop_proc_info{}]}`` to ``collector`` until all are told."""
        me = self._asked_for(collector)
        found: list[Any] = []
        async for part in self._slices(me):
            found += part
            if len(found) >= _CHUNK:
                self._runtime.send(me, collector, (atom.procs_info, me.pid, found))
                found = []
        self._runtime.send(me, collector, (atom.procs_info, me.pid, found))

    def _asked_for(self, collector: Any) -> Process:
        if type(collector) is not Pid:
            raise badarg()
        return acting(self._runtime)

    async def _slices(self, me: Process) -> Any:
        """Yield ``[#etop_proc_info{}]``, of a few processes at a time, without ``me``."""
        processes = self._runtime.processes()
        for at in range(0, len(processes), _SLICE):
            part = processes[at : at + _SLICE]
            yield [_row(process) for process in part if process.alive and process is not me]
            await asyncio.sleep(0)

    async def fetch_stats(self, parent: Any, milliseconds: Any) -> Atom:
        """Send ``{stats, 1, SchedulerWallTime, IO, Memory}`` every so often, until a message."""
        if type(parent) is not Pid or type(milliseconds) is not int or milliseconds < 0:
            raise badarg()
        me, system = acting(self._runtime), self._system
        me.trap_exit = True
        while True:
            try:
                await me.receive(timeout=max(_SHORTEST, min(milliseconds, 1 << 32) / 1000))
            except TimeoutError:
                sample = atom.stats, 1, system.scheduler_wall_time(), system.traffic()
                self._runtime.send(me, parent, (*sample, system.memory()))
            else:
                return atom.ok

    def _get_table_list(self, kind: Any, options: Any) -> list[Any]:
        """``get_table_list(ets | mnesia, Options)``."""
        if kind == atom.ets:
            return []
        if kind == atom.mnesia:
            text = f"Mnesia is not running on: {self._runtime.node_name}"
            raise RemoteError("throw", (atom.error, charlist(text)))
        raise function_clause()

    # ------------------------------------------------------------------ appmon_info

    def _start_link2(self, starter: Any, client: Any, options: Any) -> Any:
        """``{ok, Pid}`` of a process that delivers lists and trees of processes to ``client``."""
        if type(starter) is not Pid or type(client) is not Pid:
            raise badarg()
        if self._monitors >= _MOST_MONITORS:
            return atom.error, atom.system_limit
        process = self._runtime.spawn(self._appmon, starter, client, trap_exit=True)
        self._monitors += 1
        process.extra.on_death["appmon_info"] = self._appmon_ended
        return atom.ok, process.pid

    def _appmon_ended(self, process: Process) -> None:
        self._monitors -= 1

    async def _appmon(self, process: Process, starter: Pid, client: Pid) -> None:
        clients = {client}
        self._runtime.link(process, client)
        #: What was delivered last, by ``(Command, Of, To)``.
        tasks: dict[tuple[Any, Any, Pid], Any] = {}
        while True:
            try:
                message = await process.receive(timeout=_INTERVAL if tasks else None)
            except TimeoutError:
                for key in list(tasks):
                    self._deliver(process, tasks, key)
                continue
            match message:
                case (tag, (Pid() as to, word, of, wanted, _)) if tag == _GEN_CAST:
                    key = word, of, to
                    if type(of) is not Atom or word not in (atom.app_ctrl, atom.app):
                        continue
                    tasks.pop(key, None)
                    if wanted is True and len(tasks) < _MOST_TASKS:
                        self._deliver(process, tasks, key)
                case (tag, (Pid(), _) as caller, request) if tag == _GEN_CALL:
                    match request:
                        case (atom.register_client, Pid() as new) if len(clients) < _MOST_TASKS:
                            clients.add(new)
                            self._runtime.link(process, new)
                    with suppress(PeerBusy):
                        gen.reply(process, caller, atom.ok)
                case (word, Pid() as who, reason) if word == _EXIT:
                    clients.discard(who)
                    if who == starter:
                        raise Exit(reason)
                    if not clients:
                        return
                    for key in [key for key in tasks if key[2] == who]:
                        del tasks[key]

    def _deliver(self, process: Process, tasks: dict[Any, Any], key: tuple[Any, Any, Pid]) -> None:
        word, of, to = key
        if word == atom.app_ctrl:
            found: Any = [(self._root().pid, _APPLICATION, self._application)]
        elif of == _APPLICATION:
            found = self._tree()
        else:
            found = ([], [], [], [])
        if tasks.get(key) != found:
            with suppress(PeerBusy):
                self._runtime.send(process, to, (atom.delivery, process.pid, word, of, found))
        tasks[key] = found

    def _root(self) -> Process:
        """Return the process that stands for the application's master."""
        return self._runtime.names.find(atom.user) or self._runtime.main

    def _tree(self) -> Any:
        """``{Root, [{Pid, Name}], [{Parent, Child}], []}``: who has started whom.

        What no server here has started hangs on ``user``.  Large nodes show the oldest processes.
        """
        root = self._root()
        shown = {process.pid: process for process in self._runtime.processes()[:_MOST_BOXES]}
        shown[root.pid] = root
        links = []
        for pid, process in shown.items():
            if process is root:
                continue
            body: Any = process.body
            parent = body.parent if isinstance(body, BehaviourBody) else None
            above = shown.get(parent, root) if parent is not None and parent != pid else root
            links.append((_name(above), _name(process)))
        return _name(root), [(pid, _name(one)) for pid, one in shown.items()], links, []


def _name(process: Process) -> list[int]:
    name = pid_text(process.pid) if process.name is None else process.name.name
    return charlist(name)


def _row(process: Process) -> tuple[Any, ...]:
    """``#etop_proc_info{}``."""
    return (
        atom.etop_proc_info,
        process.pid,
        size_bytes(process),
        0,
        named_after(process) if process.name is None else process.name,
        0,
        current_function(process),
        _QUEUE_LEN(process),
    )
