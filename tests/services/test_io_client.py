"""The client's side of the I/O protocol, against a device that a test scripts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from pynode.errors import DeviceError, EncodeError, NameError_, ProcessDead
from pynode.process import Process, Runtime
from pynode.services.io import client
from pynode.terms import Atom, Pid, atom, charlist


@pytest.fixture
async def runtime() -> AsyncIterator[Runtime]:
    made = Runtime(Atom("here@host"), 7)
    yield made
    await made.stop(0)
    assert not any(made.pending().values()), made.pending()


class Device:
    """A process that notes each request, and answers as it is told to, when it is told to."""

    def __init__(self, runtime: Runtime) -> None:
        self.process = runtime.spawn(None)
        self.pid = self.process.pid
        self.runtime = runtime

    async def next(self) -> tuple[Pid, Any, Any]:
        match await self.process.receive(timeout=5):
            case (atom.io_request, Pid() as sender, reply_as, request):
                return sender, reply_as, request
            case other:
                raise AssertionError(other)

    async def answer(self, answer: Any) -> Any:
        sender, reply_as, request = await self.next()
        self.runtime.send(self.process, sender, (atom.io_reply, reply_as, answer))
        return request


@pytest.fixture
def device(runtime: Runtime) -> Device:
    return Device(runtime)


REQUESTS: list[tuple[Callable[[Process, Pid], Any], Any, Any, Any]] = [
    (
        lambda p, d: client.put_chars(p, d, "grün"),
        (atom.put_chars, atom.unicode, "grün".encode()),
        atom.ok,
        None,
    ),
    (
        lambda p, d: client.put_chars(p, d, [0x1F600, [b"x"], "y"]),
        (atom.put_chars, atom.unicode, "\U0001f600xy".encode()),
        atom.ok,
        None,
    ),
    (
        lambda p, d: client.format_chars(p, d, "~p~n", [atom.a]),
        (atom.put_chars, atom.unicode, atom.io_lib, atom.format, [b"~p~n", [atom.a]]),
        atom.ok,
        None,
    ),
    (
        lambda p, d: client.get_line(p, d, "name? "),
        (atom.get_line, atom.unicode, b"name? "),
        charlist("Zoé\n"),
        "Zoé\n",
    ),
    (lambda p, d: client.get_line(p, d), (atom.get_line, atom.unicode, b""), atom.eof, client.EOF),
    (
        lambda p, d: client.get_chars(p, d, "", 3),
        (atom.get_chars, atom.unicode, b"", 3),
        "añb".encode(),
        "añb",
    ),
    (
        lambda p, d: client.get_password(p, d),
        (atom.get_password, atom.unicode),
        charlist("geheim"),
        "geheim",
    ),
    (
        lambda p, d: client.get_until(p, d, ">", "io_lib", "fread", ["~d"]),
        (atom.get_until, atom.unicode, b">", atom.io_lib, atom.fread, [b"~d"]),
        (atom.ok, [5]),
        (atom.ok, [5]),
    ),
    (
        lambda p, d: client.getopts(p, d),
        atom.getopts,
        [(atom.binary, True), (atom.encoding, atom.unicode), atom.odd],
        {"binary": True, "encoding": atom.unicode, "odd": True},
    ),
    (
        lambda p, d: client.setopts(p, d, {"echo": False}),
        (atom.setopts, [(atom.echo, False)]),
        atom.ok,
        None,
    ),
    (
        lambda p, d: client.get_geometry(p, d, "rows"),
        (atom.get_geometry, atom.rows),
        24,
        24,
    ),
    (
        lambda p, d: client.requests(p, d, [atom.getopts, (atom.get_line, b"")]),
        (atom.requests, [atom.getopts, (atom.get_line, b"")]),
        b"line",
        b"line",
    ),
]


@pytest.mark.parametrize(("call", "request_", "answer", "result"), REQUESTS)
async def test_a_request_and_what_becomes_of_its_answer(
    runtime: Runtime, device: Device, call: Any, request_: Any, answer: Any, result: Any
) -> None:
    waiting = asyncio.ensure_future(call(runtime.main, device.pid))
    assert await device.answer(answer) == request_
    assert await asyncio.wait_for(waiting, 5) == result


async def test_the_group_leader_is_the_device_that_is_not_named(
    runtime: Runtime, device: Device
) -> None:
    process = runtime.spawn(None, group_leader=device.pid)
    for spelling in (None, "standard_io", atom.standard_io):
        client.write(process, spelling, "x")
        assert await device.answer(atom.ok) == (atom.put_chars, atom.unicode, b"x")


async def test_a_device_by_name(runtime: Runtime, device: Device) -> None:
    runtime.register("printer", device.pid)
    for name in ("printer", ("printer", runtime.node_name)):
        client.write(runtime.main, name, "x")
        await device.answer(atom.ok)
    with pytest.raises(NameError_, match="nobody is not registered"):
        client.write(runtime.main, "nobody", "x")


async def test_an_error_is_raised_with_its_reason(runtime: Runtime, device: Device) -> None:
    waiting = asyncio.ensure_future(client.get_geometry(runtime.main, device.pid))
    await device.answer((atom.error, atom.enotsup))
    with pytest.raises(DeviceError, match="enotsup") as caught:
        await asyncio.wait_for(waiting, 5)
    assert caught.value.reason == atom.enotsup
    reading = asyncio.ensure_future(client.get_line(runtime.main, device.pid))
    await device.answer((1, 2))
    with pytest.raises(DeviceError):
        await asyncio.wait_for(reading, 5)


async def test_a_device_that_ends_is_terminated(runtime: Runtime, device: Device) -> None:
    waiting = asyncio.ensure_future(client.get_line(runtime.main, device.pid))
    await device.next()
    runtime.exit(runtime.main, device.pid, atom.broken)
    with pytest.raises(DeviceError, match=r"terminated.*broken") as caught:
        await asyncio.wait_for(waiting, 5)
    assert caught.value.reason == atom.terminated
    for gone in (device.pid, ("nobody", runtime.node_name)):
        with pytest.raises(DeviceError) as caught:
            await client.get_line(runtime.main, gone)
        assert (caught.value.reason, caught.value.down) == (atom.terminated, atom.noproc)


async def test_a_process_is_no_device_of_its_own(runtime: Runtime) -> None:
    with pytest.raises(DeviceError, match="calling_self"):
        await client.get_line(runtime.main, runtime.main.pid)


async def test_what_is_no_text_is_not_sent(runtime: Runtime, device: Device) -> None:
    for wrong in ([atom.a], 2.5, "\ud800", b"\xff"):
        with pytest.raises(EncodeError):
            client.write(runtime.main, device.pid, wrong)
    with pytest.raises(EncodeError):
        _ = client.request(runtime.main, device.pid, object())
    client.write(runtime.main, device.pid, "first")
    assert await device.answer(atom.ok) == (atom.put_chars, atom.unicode, b"first")
    assert not runtime.main.extra.calls


async def test_the_answer_to_a_cancelled_request_reaches_nobody(
    runtime: Runtime, device: Device
) -> None:
    waiting = asyncio.ensure_future(client.get_line(runtime.main, device.pid))
    sender, reply_as, _ = await device.next()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    runtime.send(device.process, sender, (atom.io_reply, reply_as, b"late\n"))
    runtime.send(device.process, sender, atom.after)
    assert await runtime.main.receive(timeout=5) == atom.after
    assert not runtime.main.extra.calls
    assert not runtime.main.monitors


async def test_the_end_of_a_device_with_requests_that_nobody_awaits_is_no_message(
    runtime: Runtime, device: Device
) -> None:
    client.write(runtime.main, device.pid, "a")
    client.write(runtime.main, device.pid, "b")
    assert len(runtime.main.extra.calls) == 2
    runtime.exit(device.process, runtime.main.pid, atom.normal)
    runtime.exit(runtime.main, device.pid, atom.kill)
    runtime.send(runtime.main, runtime.main.pid, atom.after)
    assert await runtime.main.receive(timeout=5) == atom.after
    assert not runtime.main.extra.calls


async def test_other_messages_of_that_form_arrive(runtime: Runtime, device: Device) -> None:
    client.write(runtime.main, device.pid, "a")
    strange = [
        (atom.io_reply, runtime.make_ref(), atom.ok),
        (atom.io_reply, 5, atom.ok),
        (atom.other, (await device.next())[1], atom.ok),
    ]
    for message in strange:
        runtime.send(device.process, runtime.main.pid, message)
    assert [await runtime.main.receive(timeout=5) for _ in strange] == strange


async def test_requests_are_answered_in_whatever_order(runtime: Runtime, device: Device) -> None:
    slots = [client.request(runtime.main, device.pid, word) for word in (atom.a, atom.b)]
    seen = [await device.next() for _ in slots]
    assert [request for _, _, request in seen] == [atom.a, atom.b]
    for number, (sender, reply_as, _) in reversed(list(enumerate(seen))):
        runtime.send(device.process, sender, (atom.io_reply, reply_as, number))
    assert [await slot.wait() for slot in slots] == [0, 1]


async def test_the_end_of_the_process_ends_its_wait(runtime: Runtime, device: Device) -> None:
    ended: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    async def ask(process: Process) -> None:
        try:
            await client.get_line(process, device.pid)
        except BaseException as error:
            ended.set_result(error)
            raise

    process = runtime.spawn(ask)
    await device.next()
    runtime.exit(runtime.main, process.pid, atom.kill)
    error = await asyncio.wait_for(ended, 5)
    assert isinstance(error, asyncio.CancelledError | ProcessDead)
    with pytest.raises(ProcessDead):
        client.write(process, device.pid, "x")
