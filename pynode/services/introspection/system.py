"""What the node tells of itself: ``system_info``, ``statistics``, ``memory``, ``nodes``.

Counts and sizes of what Python has are true; the rest is what a BEAM with nothing of the kind
would say, and never a zero by which a tool would divide.  ``otp_release`` is the release whose
protocols the node speaks, for callers act on it; what it really is stands in ``system_version``,
``machine`` and ``emu_flavor``.

Source: ``erlang:system_info/1``, ``statistics/1``, ``memory/0,1``, ``nodes/0,1``; for the shapes,
what OTP 25, 27 and 29 answer.
"""

from __future__ import annotations

import gc
import os
import select
import sys
import sysconfig
import time
from collections.abc import Callable, Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from pynode.services.shell.service import OTP_RELEASE, system_version
from pynode.terms import Atom, ImproperList, atom, charlist

from .facts import atoms, size_bytes
from .processes import badarg, function_clause

if TYPE_CHECKING:
    from pynode.dist.seam import Peer
    from pynode.net.net import Net
    from pynode.process.runtime import Runtime

__all__ = ["SystemFunctions"]

_WORD_BYTES: Final = 8
#: What a BEAM has where nobody says otherwise.
_ATOM_LIMIT: Final = 1_048_576
_PORT_LIMIT: Final = 65_536
_ETS_LIMIT: Final = 8_192
#: There are as many numbers for the processes of one moment.
_PROCESS_LIMIT: Final = (1 << 28) - 1
_CARRIERS: Final = atom.carriers_size
#: Processes that are measured for ``memory``; more are reckoned from these.
_SAMPLE: Final = 1_000

_MEMORY_TYPES: Final = atoms("total processes processes_used system atom atom_used binary code ets")


class SystemFunctions:
    """What one node tells of itself."""

    def __init__(self, runtime: Runtime, net: Net) -> None:
        self._runtime = runtime
        self._net = net
        self._start_ns = time.monotonic_ns()
        self._cpu_start_ns = _thread_time_ns()
        #: What ``statistics(runtime)`` and ``statistics(wall_clock)`` told last, in milliseconds.
        self._told: dict[Any, int] = {}
        self._system = self._system_table()
        self._statistics = self._statistics_table()

    def table(self) -> dict[tuple[str, str, int], Callable[..., Any]]:
        """Return the functions."""
        return {
            ("erlang", "memory", 0): self.memory,
            ("erlang", "memory", 1): self.memory_of,
            ("erlang", "nodes", 0): self.nodes,
            ("erlang", "nodes", 1): self.nodes,
            ("erlang", "statistics", 1): self.statistics,
            ("erlang", "system_info", 1): self.system_info,
            ("c", "memory", 0): self.memory,
            ("c", "memory", 1): self.memory_of,
            ("Elixir.Node", "list", 0): self.nodes,
            ("Elixir.Node", "list", 1): self.nodes,
            ("Elixir.Node", "self", 0): lambda: self._runtime.node_name,
        }

    # ------------------------------------------------------------------ system_info

    def system_info(self, item: Any) -> Any:
        """``system_info/1``."""
        if type(item) is tuple:
            return _system_pair(item)
        found = self._system.get(item) if type(item) is Atom else None
        if found is None:
            raise badarg()
        return found() if callable(found) else found

    def _system_table(self) -> dict[Any, Any]:
        import pynode

        runtime = self._runtime
        cpus = os.cpu_count() or atom.unknown
        usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cpus
        polls = hasattr(select, "epoll") or hasattr(select, "kqueue")
        max_heap = {atom.error_logger: True, atom.kill: True, atom.size: 0}
        facts = {
            "alloc_util_allocators": [],
            "allocated_areas": [],
            "allocator": (atom.undefined, [], [], []),
            "async_dist": False,
            "atom_count": 0,
            "atom_limit": _ATOM_LIMIT,
            "build_type": atom.opt,
            "c_compiler_used": (atom.undefined, atom.undefined),
            "check_io": [],
            "compat_rel": int(OTP_RELEASE),
            "cpu_topology": atom.undefined,
            "creation": lambda: runtime.creation,
            "debug_compiled": False,
            "delayed_node_table_gc": 0,
            "dirty_cpu_schedulers": 0,
            "dirty_cpu_schedulers_online": 0,
            "dirty_io_schedulers": 0,
            "dist": b"",
            "dist_buf_busy_limit": runtime.limits.peer_high_water_bytes,
            "dist_ctrl": [],
            "driver_version": charlist("3.3"),
            "dynamic_trace": atom("none"),
            "dynamic_trace_probes": False,
            "elib_malloc": False,
            "emu_flavor": atom(sys.implementation.name),
            "emu_type": atom.opt,
            "ets_count": 0,
            "ets_limit": _ETS_LIMIT,
            "fullsweep_after": (atom.fullsweep_after, 65535),
            "garbage_collection": [
                (atom.max_heap_size, 0),
                (atom.min_bin_vheap_size, 0),
                (atom.min_heap_size, 0),
                (atom.fullsweep_after, 65535),
            ],
            "heap_sizes": [],
            "heap_type": atom.private,
            "info": b"",
            "kernel_poll": polls,
            "loaded": b"",
            "logical_processors": cpus,
            "logical_processors_available": usable,
            "logical_processors_online": cpus,
            "machine": charlist("Python"),
            "max_heap_size": max_heap,
            "message_queue_data": atom.on_heap,
            "min_bin_vheap_size": (atom.min_bin_vheap_size, 0),
            "min_heap_size": (atom.min_heap_size, 0),
            "modified_timing_level": atom.undefined,
            "multi_scheduling": atom.disabled,
            "multi_scheduling_blockers": [],
            "nif_version": charlist("2.18"),
            "normal_multi_scheduling_blockers": [],
            "otp_release": charlist(OTP_RELEASE),
            "outstanding_system_requests_limit": 4,
            "port_count": 0,
            "port_limit": _PORT_LIMIT,
            "port_parallelism": False,
            "process_count": lambda: len(runtime.processes()),
            "process_limit": _PROCESS_LIMIT,
            "procs": b"",
            "scheduler_bind_type": atom.unbound,
            "scheduler_bindings": (atom.unbound,),
            "scheduler_id": 1,
            "schedulers": 1,
            "schedulers_online": 1,
            "smp_support": True,
            "start_time": self._start_ns,
            "system_architecture": charlist(sysconfig.get_platform()),
            "system_version": lambda: system_version(runtime.node_name),
            "thread_pool_size": runtime.limits.threads,
            "threads": True,
            "time_correction": True,
            "time_offset": atom.volatile,
            "time_warp_mode": atom.no_time_warp,
            "tolerant_timeofday": atom.enabled,
            "trace_control_word": 0,
            "update_cpu_info": atom.unchanged,
            "version": charlist(pynode.__version__),
            "wordsize": _WORD_BYTES,
        }
        return {atom(name): value for name, value in facts.items()}

    # ------------------------------------------------------------------ statistics

    def statistics(self, item: Any) -> Any:
        """``statistics/1``."""
        found = self._statistics.get(item) if type(item) is Atom else None
        if found is None:
            raise badarg()
        return found()

    def _statistics_table(self) -> dict[Any, Callable[[], Any]]:
        queue, queues = self.run_queue, lambda: [self.run_queue()]
        facts: dict[str, Callable[[], Any]] = {
            "active_tasks": queues,
            "active_tasks_all": queues,
            "context_switches": lambda: (0, 0),
            "exact_reductions": lambda: (0, 0),
            "garbage_collection": _collections,
            "io": self.traffic,
            "microstate_accounting": lambda: atom.undefined,
            "reductions": lambda: (0, 0),
            "run_queue": queue,
            "run_queue_lengths": queues,
            "run_queue_lengths_all": queues,
            "runtime": self._runtime_ms,
            "scheduler_wall_time": self.scheduler_wall_time,
            "scheduler_wall_time_all": self.scheduler_wall_time,
            "total_active_tasks": queue,
            "total_active_tasks_all": queue,
            "total_run_queue_lengths": queue,
            "total_run_queue_lengths_all": queue,
            "wall_clock": self._wall_clock_ms,
        }
        return {atom(name): function for name, function in facts.items()}

    def run_queue(self) -> int:
        """Return how many processes wait for their turn."""
        return len(self._runtime.scheduler._queue)

    def traffic(self) -> Any:
        """Return ``{{input, Bytes}, {output, Bytes}}`` of the connections to other nodes."""
        counted = self._net.counters()
        return (atom.input, counted["bytes_in"]), (atom.output, counted["bytes_out"])

    def scheduler_wall_time(self) -> list[Any]:
        """Return ``[{1, Active, Total}]`` in nanoseconds: the loop's thread is the scheduler."""
        active = _thread_time_ns() - self._cpu_start_ns
        return [(1, max(0, active), time.monotonic_ns() - self._start_ns)]

    def _runtime_ms(self) -> tuple[int, int]:
        return self._since(atom.runtime, time.process_time_ns() // 1_000_000)

    def _wall_clock_ms(self) -> tuple[int, int]:
        passed = time.monotonic_ns() - self._start_ns
        return self._since(atom.wall_clock, passed // 1_000_000)

    def _since(self, item: Any, total: int) -> tuple[int, int]:
        before, self._told[item] = self._told.get(item, 0), total
        return total, total - before

    # ------------------------------------------------------------------ memory

    def memory(self) -> list[tuple[Any, int]]:
        """``memory/0``, in bytes: ``total`` is what the whole Python program has resident."""
        sizes: list[tuple[Any, int]] = self.memory_of(_MEMORY_TYPES)
        return sizes

    def memory_of(self, types: Any) -> Any:
        """``memory/1``."""
        if type(types) is Atom:
            [(_, size)] = self.memory_of([types])
            return size
        if type(types) is not list:
            raise function_clause() if type(types) is ImproperList else badarg()
        if any(type(one) is not Atom or one not in _MEMORY_TYPES for one in types):
            raise badarg()
        processes = self._process_bytes()
        total = max(_resident_bytes(), processes)
        sizes = {
            atom.total: total,
            atom.processes: processes,
            atom.processes_used: processes,
            atom.system: total - processes,
        }
        return [(one, sizes.get(one, 0)) for one in types]

    def _process_bytes(self) -> int:
        processes = self._runtime.processes()
        step = len(processes) // _SAMPLE + 1
        measured = [size_bytes(process) for process in islice(processes, 0, None, step)]
        return sum(measured) * len(processes) // len(measured) if measured else 0

    # ------------------------------------------------------------------ nodes

    def nodes(self, kinds: Any = atom.visible) -> list[Atom]:
        """``nodes/0,1``."""
        found: dict[Atom, None] = {}
        for kind in kinds if type(kinds) is list else [kinds]:
            found |= dict.fromkeys(self._nodes_of(kind))
        return list(found)

    def _nodes_of(self, kind: Any) -> Iterable[Atom]:
        peers: list[Peer] = list(self._net.peers())
        if kind == atom.visible:
            return [peer.name for peer in peers if not peer.hidden]
        if kind == atom.hidden:
            return [peer.name for peer in peers if peer.hidden]
        if kind == atom.connected:
            return [peer.name for peer in peers]
        if kind == atom.this:
            return [self._runtime.node_name]
        if kind == atom.known:
            return [self._runtime.node_name, *self._net.known()]
        raise badarg()

    # ------------------------------------------------------------------ observer_backend

    def sys_info(self) -> list[tuple[Any, Any]]:
        """``observer_backend:sys_info/0``."""
        (_, came), (_, went) = self.traffic()
        uptime = (time.monotonic_ns() - self._start_ns) // 1_000_000
        told = [
            (atom.uptime, uptime),
            (atom.run_queue, self.run_queue()),
            (atom.io_input, came),
            (atom.io_output, went),
            (atom.schedulers_available, 1),
            (atom.wordsize_internal, _WORD_BYTES),
            (atom.wordsize_external, _WORD_BYTES),
            (atom.alloc_info, _allocators(self.memory_of(atom.total))),
        ]
        told += [(item, self.system_info(item)) for item in _SYS_INFO]
        return told + self.memory()


#: What ``sys_info`` has of ``system_info``.
_SYS_INFO: Final = atoms(
    "logical_processors logical_processors_online logical_processors_available schedulers "
    "schedulers_online otp_release version system_architecture kernel_poll smp_support "
    "threads thread_pool_size process_count process_limit atom_count atom_limit port_count "
    "port_limit ets_count ets_limit dist_buf_busy_limit"
)


def _allocators(total: int) -> list[Any]:
    """Return one allocator that holds everything: observer divides by what they hold."""
    sizes = total, total, total
    blocks = (atom.blocks, [(atom.python, [(atom.size, *sizes)])])
    return [(atom.python, [(atom.instance, 0, [(atom.mbcs, [blocks, (_CARRIERS, *sizes)])])])]


def _system_pair(item: tuple[Any, ...]) -> Any:
    """``system_info({Item, Of})``."""
    match item:
        case (atom.wordsize, (atom.internal | atom.external)):
            return _WORD_BYTES
        case (atom.allocator_sizes | atom.allocator, list()):
            return []
        case (atom.allocator_sizes | atom.allocator, Atom()):
            return False
        case (atom.cpu_topology, (atom.defined | atom.detected | atom.used)):
            return atom.undefined
    raise badarg()


def _collections() -> tuple[int, int, int]:
    """``{Number, WordsReclaimed, 0}``; Python counts objects, so no words."""
    return sum(int(one["collections"]) for one in gc.get_stats()), 0, 0


def _thread_time_ns() -> int:
    return time.thread_time_ns() if hasattr(time, "thread_time_ns") else time.process_time_ns()


def _resident_bytes() -> int:
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
