"""The trace port that ``etop`` reads: who may, what it is told, and when it goes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from pynode import GenServer
from pynode.behaviours.starting import start
from pynode.errors import RemoteError
from pynode.etf import decode
from pynode.net.addresses import Endpoint, is_loopback
from pynode.process import Process
from pynode.services.introspection import tracing
from pynode.services.introspection.run_time import RunTimes, Turn
from pynode.terms import OpaqueFun, Pid, Port, atom, charlist
from pynode.testing import eventually

from .rpc_pair import DEADLINE, THERE, RpcPair, rpc_pair

MD5 = b"0123456789abcdef"
FLAGS = [atom.running, atom.timestamp]


@pytest.fixture
async def pair() -> AsyncIterator[RpcPair]:
    async with rpc_pair() as made:
        net: Any = made.there._net
        net.counters = lambda: {"bytes_in": 7, "bytes_out": 9}
        net.known = list
        net.endpoints = [Endpoint(socket.AF_INET, "127.0.0.1")]
        net.peer = lambda node: SimpleNamespace(address=("127.0.0.1", 4000))
        made.there.introspect()
        made.here._runtime.main.trap_exit = True
        yield made


def trace_port(number: Any, *, of: Any = atom.dbg, arity: int = 0, size: Any = 50) -> Any:
    """What ``dbg:trace_port(ip, {Number, Size})`` returns on a BEAM."""
    return OpaqueFun(of, arity, 14, MD5, 14, 1, Pid(THERE, 1, 0, 1), (size, number))


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def ask(pair: RpcPair, function: str, *args: Any) -> Any:
    return await pair.here.erpc.call(THERE, "dbg", function, list(args), timeout=DEADLINE)


async def told(pair: RpcPair) -> Any:
    return await pair.here._runtime.main.receive(timeout=DEADLINE)


async def relay(pair: RpcPair, kind: Any, *names: Any) -> Pid:
    """Have a relay started, as dbg does."""
    runtime = pair.here._runtime
    args = [*names, runtime.main.pid, kind]
    pid, _ = await runtime.spawn_remote(
        runtime.main, THERE, "dbg", "do_relay", args, link=True, monitor=True
    )
    return pid


async def tracer(pair: RpcPair) -> tuple[Pid, Any, int]:
    """Return relay, port and its number."""
    number = free_port()
    pid = await relay(pair, (atom.port, trace_port(number)))
    word, port = await told(pair)
    assert word == atom.started
    assert type(port) is Port
    return pid, port, number


async def end(pair: RpcPair, pid: Pid, number: int) -> None:
    """End a relay as dbg ends it, and see that its port is closed."""
    pair.here._runtime.exit(pair.here._runtime.main, pid, atom.done)
    words = {(await told(pair))[0], (await told(pair))[0]}
    assert words == {atom("EXIT"), atom("DOWN")}
    await refused(number)


async def refused(number: int) -> None:
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", number)


async def message(reader: asyncio.StreamReader) -> Any:
    """Read one message; of a drop, the number."""
    async with asyncio.timeout(DEADLINE):
        head = await reader.readexactly(5)
        count = int.from_bytes(head[1:], "big")
        if head[0] == 1:
            return count
        assert head[0] == 0
        return decode(await reader.readexactly(count))


@contextlib.asynccontextmanager
async def reading(number: int, host: str = "127.0.0.1") -> AsyncIterator[asyncio.StreamReader]:
    reader, writer = await asyncio.open_connection(host, number)
    try:
        yield reader
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def compute(seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


async def burn(process: Process) -> None:
    async for _ in process:
        compute(0.02)


async def tick(process: Process) -> None:
    """Run now and then."""
    while True:
        with contextlib.suppress(TimeoutError):
            await process.receive(timeout=0.05)


class Thinker(GenServer, blocking=True):
    def init(self) -> None:
        pass

    def handle_cast(self, message: Any) -> None:
        until = time.thread_time() + 0.1
        while time.thread_time() < until:
            pass


# --------------------------------------------------------------------------- run times


def spent(turns: Any, process: Process) -> float:
    ran: int = sum(turn.end_ns - turn.begin_ns for turn in turns if turn.process is process)
    return ran / 1e9


async def test_run_times_of_turns(pair: RpcPair) -> None:
    runtime = pair.there._runtime
    times = RunTimes(runtime)
    assert not times.started
    burner, idle = runtime.spawn(burn), runtime.spawn(burn)
    times.start()
    times.start()
    begun = time.time_ns()
    for _ in range(3):
        runtime.send(runtime.main, burner.pid, 1)
    await eventually(lambda: not burner.mailbox and not burner.ready)
    turns = times.look()
    assert 0.06 <= spent(turns, burner) <= (time.time_ns() - begun) / 1e9
    assert spent(turns, idle) < 0.02
    assert len({turn.process for turn in turns}) == len(turns)  # one for each, however often
    assert all(turn.begin_ns <= turn.end_ns <= time.time_ns() for turn in turns)
    assert burner not in {turn.process for turn in times.look()}
    times.stop()
    times.stop()
    assert runtime.scheduler.on_turn is None
    runtime.send(runtime.main, burner.pid, 1)
    await eventually(lambda: not burner.mailbox and not burner.ready)
    assert times._spent == {}


async def test_run_times_of_who_looks_itself(pair: RpcPair) -> None:
    """A turn is told when it has ended, whole."""
    runtime = pair.there._runtime
    times = RunTimes(runtime)
    found = []

    async def look(process: Process) -> None:
        compute(0.01)
        times.start()
        found.append(spent(times.look(), process))
        compute(0.01)
        found.append(spent(times.look(), process))

    process = runtime.spawn(look)
    await eventually(lambda: len(found) == 2)
    assert found == [0, 0]
    await eventually(lambda: not process.alive)
    assert spent(times.look(), process) >= 0.02  # all of the turn in which it was started
    times.stop()


async def test_run_times_of_threads(pair: RpcPair) -> None:
    runtime = pair.there._runtime
    times = RunTimes(runtime)
    pid = await start(runtime, Thinker)
    process: Any = runtime.local(pid)
    times.start()
    for _ in range(3):
        runtime.send(runtime.main, pid, (atom("$gen_cast"), 1))
    found: list[float] = []

    async def enough() -> bool:
        found.append(spent(times.look(), process))
        return sum(found) >= 0.25  # the system counts in hundredths

    await eventually(enough, timeout=DEADLINE)
    times.stop()


async def test_run_times_hold_no_dead_process(pair: RpcPair) -> None:
    runtime = pair.there._runtime
    times = RunTimes(runtime)
    times.start()
    for _ in range(50):
        runtime.send(runtime.main, runtime.spawn(burn_once).pid, 1)
    before = len(runtime.processes())
    await eventually(lambda: len(runtime.processes()) <= before - 50)
    assert len([turn for turn in times.look() if not turn.process.alive]) == 50
    assert times._spent == {}
    times.stop()


async def burn_once(process: Process) -> None:
    await process.receive()


# --------------------------------------------------------------------------- the port


async def test_a_reader_is_told_who_runs(pair: RpcPair) -> None:
    runtime = pair.there._runtime
    burner = runtime.spawn(burn)
    pid, port, number = await tracer(pair)
    flags = [(atom.tracer, port), *FLAGS]
    async with reading(number) as reader:
        assert runtime.scheduler.on_turn is None  # nobody has asked for it yet
        assert await ask(pair, "erlang_trace", atom.all, True, flags) >= 5
        await eventually(lambda: runtime.scheduler.on_turn is not None)
        runtime.send(runtime.main, burner.pid, 1)
        ran = 0
        while ran < 20_000:
            one, other = await message(reader), await message(reader)
            assert [one[0], one[2], other[2]] == [atom.trace_ts, atom("in"), atom.out]
            assert one[1] == other[1]
            assert one[3] == other[3]
            (a, b, c), (d, e, f) = one[4], other[4]
            passed = ((d - a) * 1_000_000 + e - b) * 1_000_000 + f - c
            assert passed >= 0
            assert abs(d * 1_000_000 + e - time.time()) < DEADLINE
            if one[1] == burner.pid:
                assert one[3][1] == atom.burn
                ran += passed
        # Without the time, and then nothing.
        assert await ask(pair, "erlang_trace", atom.all, True, [flags[0], atom.running])
        runtime.send(runtime.main, burner.pid, 1)
        while (one := await message(reader))[:2] != (atom.trace, burner.pid):
            assert len(one) in (4, 5)
        assert one == (atom.trace, burner.pid, atom("in"), one[3])
        assert await ask(pair, "deliver_and_flush", port) == [0]
        assert await ask(pair, "erlang_trace", atom.all, False, [flags[0], atom.all])
        assert runtime.scheduler.on_turn is None
    await end(pair, pid, number)


async def test_sessions_of_later_releases(pair: RpcPair) -> None:
    runtime = pair.there._runtime
    made = []
    for name in (atom.etop_tr, atom.dbg):
        number = free_port()
        pid = await relay(pair, (atom.port, trace_port(number)), name)
        word, port, session = await told(pair)
        assert (word, type(port)) == (atom.started, Port)
        made.append((pid, number, port, session))
    with contextlib.ExitStack() as stack:
        for _, number, port, session in made:
            stack.enter_context(socket.create_connection(("127.0.0.1", number)))
            assert await ask(pair, "erlang_trace", session, atom.all, True, FLAGS) >= 5
            assert await ask(pair, "deliver_and_flush", session, port) == [0]
        await eventually(lambda: runtime.scheduler.on_turn is not None)
        await end(pair, *made[0][:2])
        assert runtime.scheduler.on_turn is not None
        await end(pair, *made[1][:2])
        assert runtime.scheduler.on_turn is None


async def test_it_is_measured_only_while_somebody_reads(pair: RpcPair) -> None:
    runtime = pair.there._runtime
    runtime.spawn(tick)
    pid, port, number = await tracer(pair)
    assert await ask(pair, "erlang_trace", atom.all, True, [(atom.tracer, port), *FLAGS])
    assert runtime.scheduler.on_turn is None
    for _ in range(2):
        async with reading(number) as reader:
            await message(reader)
            assert runtime.scheduler.on_turn is not None
            async with reading(number) as second:  # one at a time
                assert await second.read() == b""
        await eventually(lambda: runtime.scheduler.on_turn is None)
    # Where the relay is killed, and at the loss of who wanted it.
    async with reading(number) as reader:
        await message(reader)
        runtime.exit(runtime.main, pid, atom.kill)
        async with asyncio.timeout(DEADLINE):
            await reader.read()
    assert runtime.scheduler.on_turn is None
    await refused(number)
    await told(pair), await told(pair)
    _, _, number = await tracer(pair)
    pair.wire.cut()
    await eventually(lambda: not can_connect(number))


def can_connect(number: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", number)) == 0


async def test_strangers_are_not_told(
    pair: RpcPair, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    net: Any = pair.there._net
    pair.there._runtime.spawn(tick)
    addresses: list[Any] = [("192.0.2.1", 1), None, ("127.0.0.2", 1), ("127.0.0.1", 1)]
    for address in addresses:
        if address is not None and is_loopback(address[0]):
            # As if it came from another host.
            monkeypatch.setattr(tracing, "is_local_peer", lambda sock: False)
        net.peer = lambda node, address=address: SimpleNamespace(address=address)
        pid, port, number = await tracer(pair)
        flags = [(atom.tracer, port), *FLAGS]
        assert await ask(pair, "erlang_trace", atom.all, True, flags)
        async with reading(number) as reader:
            if address == ("127.0.0.1", 1):
                assert (await message(reader))[0] == atom.trace_ts
            else:
                assert await reader.read() == b""
                assert "a reader from 127.0.0.1 may not have the trace" in caplog.text
        caplog.clear()
        await end(pair, pid, number)


async def test_what_a_slow_reader_misses_is_counted(
    pair: RpcPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "_MOST_BYTES", 2_000)
    theirs, ours = socket.socketpair()
    ours.setblocking(False)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
    one = tracing._Tracer(
        asyncio.get_running_loop(), Port(THERE, 1, 1), lambda: None, THERE, "127.0.0.1"
    )
    one._reader = ours
    one.on = one.stamped = True
    process = pair.there._runtime.main
    turn = Turn(process, 0, 1)
    sent = 0
    while one._dropped < 100:
        one.tell([turn] * 10)
        sent += 20
        assert len(one._waiting) <= 2_000
    reader = await asyncio.open_connection(sock=theirs)
    missed = got = 0
    while missed + got < sent + 2:
        if missed + got == sent - one._dropped:  # all that was kept: the next goes with the number
            one.tell([turn])
        else:
            one.tell([])
        found = await message(reader[0])
        if type(found) is int:
            missed += found
        else:
            got += 1
    assert missed >= 100
    one.tell([])
    reader[1].close()
    one.close()


# --------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "kind",
    [
        (atom.process, (1, 2)),
        (atom.port, 1),
        (atom.port, trace_port(0)),
        (atom.port, trace_port(1 << 16)),
        (atom.port, trace_port(b"x")),
        (atom.port, trace_port(4000, of=atom.other)),
        (atom.port, trace_port(4000, arity=1)),
        (atom.module, trace_port(4000)),
        Pid(THERE, 1, 0, 1),
    ],
)
async def test_other_tracers_are_refused(pair: RpcPair, kind: Any) -> None:
    pid = await relay(pair, kind)
    # dbg waits for the first for ever.
    assert await told(pair) == (atom.started, atom.undefined)
    for _ in range(2):
        word, *_, reason = await told(pair)
        assert word in (atom("EXIT"), atom("DOWN"))
        (word, text), stack = reason
        assert word == atom.tracer_refused
        assert b"cannot be traced (by dbg, ttb, observer's trace page)" in text
        assert [frame[:2] for frame in stack] == [(atom.dbg, atom.do_relay)]
    assert pair.there._runtime.local(pid) is None


async def test_a_port_in_use_is_an_error(pair: RpcPair) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        await relay(pair, (atom.port, trace_port(sock.getsockname()[1])))
        assert await told(pair) == (atom.started, atom.undefined)
        reason = (await told(pair))[-1]
        assert reason[0] == (atom.badmatch, (atom.error, atom.eaddrinuse))
    await told(pair)
    net: Any = pair.there._net
    net.endpoints = []
    await relay(pair, (atom.port, trace_port(free_port())), atom.etop_tr)
    assert await told(pair) == (atom.started, atom.undefined, atom.undefined)
    assert (await told(pair))[-1][0] == (atom.badmatch, (atom.error, atom.eaddrnotavail))


async def test_the_same_port_again_takes_the_place(pair: RpcPair) -> None:
    """A dbg was killed, and the next one asks before the end of the first has come."""
    pid, port, number = await tracer(pair)
    second = await relay(pair, (atom.port, trace_port(number)))
    _, other = await told(pair)
    assert type(other) is Port
    assert other != port
    flags = [(atom.tracer, port), *FLAGS]
    with pytest.raises(RemoteError):
        await ask(pair, "erlang_trace", atom.all, True, flags)
    pair.here._runtime.exit(pair.here._runtime.main, pid, atom.done)
    await told(pair), await told(pair)
    assert can_connect(number)
    await end(pair, second, number)


async def test_tracers_are_few(pair: RpcPair) -> None:
    for _ in range(8):
        await tracer(pair)
    await relay(pair, (atom.port, trace_port(free_port())))
    assert await told(pair) == (atom.started, atom.undefined)
    assert (await told(pair))[-1][0] == (atom.badmatch, (atom.error, atom.system_limit))


async def test_other_flags_are_refused(pair: RpcPair) -> None:
    _, port, _ = await tracer(pair)
    mine = (atom.tracer, port)
    for what, how, flags in (
        (atom.all, True, FLAGS),
        (atom.all, True, [(atom.tracer, Port(THERE, 99, 1)), *FLAGS]),
        (atom.all, True, [mine, *FLAGS, atom.call]),
        (atom.all, True, [mine, atom.cpu_timestamp]),
        (atom.all, True, [mine, 1]),
        (atom.all, atom.maybe, [mine, *FLAGS]),
        (atom.new, True, [mine, *FLAGS]),
        (pair.there._runtime.main.pid, True, [mine, *FLAGS]),
        (atom.all, True, atom.running),
    ):
        with pytest.raises(RemoteError) as caught:
            await ask(pair, "erlang_trace", what, how, flags)
        assert caught.value.reason == atom.badarg
    with pytest.raises(RemoteError):
        await ask(pair, "deliver_and_flush", Port(THERE, 99, 1))


async def test_where_the_reader_finds_it(pair: RpcPair) -> None:
    found = await pair.here.erpc.call(THERE, "net_adm", "localhost", [], timeout=DEADLINE)
    assert found == charlist("test")
