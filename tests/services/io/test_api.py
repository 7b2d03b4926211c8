"""``node.io``, ``puts`` and ``io_stream``: whom they write to, as whom, and what they raise."""

from __future__ import annotations

import asyncio
import contextlib
import io
import sys
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

import pynode
from pynode.errors import DeviceError, EncodeError, NameError_
from pynode.process import Process, Runtime
from pynode.services.io import api, client
from pynode.services.io.api import Io
from pynode.services.io.stream import IoStream
from pynode.services.io.user import User
from pynode.terms import Atom, Pid, atom, charlist
from pynode.testing import eventually


class Place:
    """A runtime with a ``user`` whose output is kept, and one more device."""

    def __init__(self) -> None:
        self.runtime = Runtime(Atom("py@test"), 7)
        self.written: list[str] = []
        self.other: list[str] = []
        self.user = User(self.runtime, self.written.append)
        self.runtime.unregister("user")
        self.device = User(self.runtime, self.other.append).process.pid
        self.runtime.unregister("user")
        self.runtime.register("user", self.user.process.pid)
        self.runtime.register("other", self.device)
        self.runtime.default_group_leader = self.user.process.pid
        self.io = Io(self.runtime, public=True)

    def type(self, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    made = Place()
    yield made
    await made.runtime.stop(0)


async def test_words(place: Place) -> None:
    await place.io.puts("a", b"caf\xc3\xa9", 1, atom.b, [1])
    await place.io.write("x", 2)
    await place.io.put_chars(["y", [0x20AC]])
    await place.io.nl()
    await place.io.format("~p ~s~n", [(atom.a, b"b"), b"c"])
    assert await place.io.inspect({atom.k: b"v"}, label="found") == {atom.k: b"v"}
    assert place.written == [
        "a caf\u00e9 1 b [1]\n", "x 2", "y\u20ac", "\n", '{a,<<"b">>} c\n', 'found: %{k: "v"}\n',
    ]  # fmt: skip


async def test_devices(place: Place) -> None:
    for device in (place.device, "other", ("other", "py@test"), atom.other):
        await place.io.puts("x", device=device)
    assert place.other == ["x\n"] * 4
    await place.io.puts("y", device="standard_io")
    assert place.written == ["y\n"]
    process = place.runtime.spawn(None, group_leader=place.device)
    seen = await as_process(process, place.io.puts, "z")
    assert seen is None
    assert place.other[4:] == ["z\n"]


async def as_process(process: Process, function: Any, *args: Any) -> Any:
    """Await a call in a task of ``process``."""
    task = process.own_context().copy().run(asyncio.ensure_future, function(*args))
    return await task


async def test_errors(place: Place) -> None:
    with pytest.raises(NameError_):
        await place.io.puts("x", device="nobody")
    with pytest.raises(EncodeError):
        await place.io.put_chars([-1])
    with pytest.raises(DeviceError) as caught:
        await place.io.format("~p", [])
    assert caught.value.reason == atom.format
    with pytest.raises(DeviceError) as caught:
        await place.io.request(atom.rubbish)
    assert caught.value.reason == atom.request
    with pytest.raises(DeviceError) as caught:
        await place.io.columns()
    assert caught.value.reason == atom.enotsup
    gone = Pid(Atom("py@test"), 9999, 0, 7)
    with pytest.raises(DeviceError) as caught:
        await place.io.puts("x", device=gone)
    assert (caught.value.reason, caught.value.down) == (atom.terminated, atom.noproc)


async def test_a_leader_that_ends_while_it_is_asked(place: Place) -> None:
    mute = place.runtime.spawn(None)
    asking = asyncio.ensure_future(place.io.gets("? ", device=mute.pid))
    await mute.receive(timeout=5)
    place.runtime.exit(place.runtime.main, mute.pid, atom.kill)
    with pytest.raises(DeviceError) as caught:
        await asking
    assert (caught.value.reason, caught.value.down) == (atom.terminated, atom.killed)


async def test_input(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.type(monkeypatch, "one\ntwo\nthree\n")
    assert await place.io.gets("? ") == "one\n"
    assert await place.io.getn("?? ", 2) == "tw"
    assert await place.io.get_chars("", 2) == "o\n"
    assert [line async for line in place.io.lines()] == ["three\n"]
    assert await place.io.get_line() == atom.eof
    assert place.written[:2] == ["? ", "?? "]
    with pytest.raises(DeviceError):
        await place.io.get_password()
    with pytest.raises(DeviceError) as caught:
        await place.io.get_until("", "io_lib", "fread", [charlist("~d")])
    assert caught.value.reason == atom.fread


async def test_options_and_batches(place: Place) -> None:
    assert (await place.io.getopts())["encoding"] == atom.unicode
    await place.io.setopts(binary=False)
    assert (await place.io.getopts())["binary"] is False
    with pytest.raises(DeviceError):
        await place.io.setopts(colour=True)
    put = (atom.put_chars, atom.unicode, b"b")
    assert await place.io.requests([put, put]) == atom.ok
    assert place.written == ["b", "b"]


# --------------------------------------------------------------------------- puts, streams


async def test_puts_in_a_process_goes_to_its_leader_in_order(place: Place) -> None:
    async def body(process: Process) -> None:
        pynode.puts("first", 1)
        pynode.puts("to another", device="user")
        process.group_leader = place.user.process.pid
        pynode.puts("second")
        await process.run_blocking(pynode.puts, "in a thread")
        with pytest.raises(NameError_):
            pynode.puts("x", device="nobody")
        print("printed", 2, file=pynode.io_stream("other"))

    place.runtime.spawn(body, group_leader=place.device)
    await eventually(lambda: len(place.other) == 2 and len(place.written) == 3)
    assert place.other == ["first 1\n", "printed 2\n"]
    assert place.written == ["to another\n", "second\n", "in a thread\n"]


async def test_puts_outside_of_processes_is_of_the_one_node(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []
    write = client.write

    def noted(*args: Any) -> Any:
        threads.append(threading.get_ident())
        return write(*args)

    monkeypatch.setattr(client, "write", noted)
    monkeypatch.setattr(api, "_known", {place.io})
    pynode.puts("outside")
    await asyncio.to_thread(pynode.puts, "in any thread")
    await eventually(lambda: len(place.written) == 2)
    assert threads == [threading.get_ident()] * 2
    assert place.written == ["outside\n", "in any thread\n"]
    another = Io(place.runtime)
    monkeypatch.setattr(api, "_known", {place.io, another})
    with pytest.raises(RuntimeError, match="2 nodes"):
        pynode.puts("x")
    monkeypatch.setattr(api, "_known", set())
    with pytest.raises(RuntimeError, match=r"node\.io"):
        pynode.io_stream()


async def test_a_stream_sends_whole_lines(place: Place) -> None:
    stream = place.io.stream("other")
    assert stream.writable()
    assert stream.encoding == "utf-8"
    print("a", "b", file=stream)
    stream.write("c")
    stream.write("d\ne")
    await eventually(lambda: len(place.other) == 2)
    stream.flush()
    stream.write("x" * 10_000)
    await eventually(lambda: len(place.other) == 4)
    assert place.other == ["a b\n", "cd\n", "e", "x" * 10_000]
    with pytest.raises(TypeError):
        stream.write(b"bytes")  # type: ignore[arg-type]
    stream.write("last")
    stream.close()
    await eventually(lambda: place.other[4:] == ["last"])
    for use in (lambda: stream.write("x"), stream.flush):
        with pytest.raises(ValueError, match="closed"):
            use()


async def test_stdout_may_be_redirected_even_to_oneself(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    place.runtime.unregister("user")
    user = User(place.runtime)  # which writes to stdout
    with contextlib.redirect_stdout(place.io.stream(user.process.pid)):
        print("round and round")
        assert isinstance(sys.stdout, IoStream)
        await place.io.nl(device=user.process.pid)
    assert "round and round\n\n" in capfd.readouterr().out
