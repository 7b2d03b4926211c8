"""Input and output: what a device answers, and who a process's group leader is.

A device of a BEAM is here a file, of Python a ``user`` whose input and output the test holds.
"""

from __future__ import annotations

import asyncio
from typing import Any

from pynode.terms import Atom, ImproperList, Pid, atom, charlist
from tests.semantics.sides import Acting, Pair

PUT = (atom.put_chars, atom.unicode)
STANDARD_IO = Atom("standard_io")
TERMINATED = (atom.error, atom.terminated)


async def ask(asker: Acting, device: Any, request: Any) -> Any:
    """Return what ``device`` answers ``asker``."""
    return await asker.do("io_request", device, request)


async def test_chars_are_written_in_order(a: Acting, b: Acting) -> None:
    device: Pid = await b.do("device", b"")
    assert await ask(a, device, (*PUT, "caf\u00e9 ".encode())) == atom.ok
    assert await ask(a, device, (*PUT, ImproperList([0x20AC, [b"x"]], b"y"))) == atom.ok
    assert await ask(a, device, (atom.put_chars, atom.latin1, b"\xe9\n")) == atom.ok
    assert await b.do("written", device) == "caf\u00e9 \u20acxy\u00e9\n".encode()


async def test_formats_are_made_by_the_device(a: Acting, b: Acting) -> None:
    device: Pid = await b.do("device", b"")
    args = [charlist("~p ~ts ~w~n"), [(atom.ok, b"b", 1.0e-10), b"\xc3\xa9", charlist("a")]]
    assert await ask(a, device, (*PUT, atom.io_lib, atom.format, args)) == atom.ok
    assert await ask(a, device, (*PUT, atom.io_lib, atom.write, [[1, {atom.k: b""}]])) == atom.ok
    assert await ask(a, device, (*PUT, atom.io_lib, atom.nl, [])) == atom.ok
    text = '{ok,<<"b">>,1.0e-10} \u00e9 [97]\n[1,#{k => <<>>}]\n'
    assert await b.do("written", device) == text.encode()


async def test_what_cannot_be_written_is_an_error(a: Acting, b: Acting) -> None:
    requests: list[Any] = [
        (*PUT, [-1]), (*PUT, [0xD800]), (*PUT, atom.text), (atom.put_chars, atom.latin1, [256]),
        (*PUT, atom.io_lib, atom.format, [b"~p", []]),
    ]  # fmt: skip
    for request in requests:
        device: Pid = await b.do("device", b"")  # one each, for a file ends of it
        answer = await ask(a, device, request)
        assert answer[0] == atom.error, request


async def test_lines_chars_and_the_end(a: Acting, b: Acting) -> None:
    device: Pid = await b.do("device", "one\ntwo\u20acthree\nf\u00e4ur".encode())
    line = (atom.get_line, atom.unicode, atom(""))
    assert await ask(a, device, line) == b"one\n"
    assert await ask(a, device, (atom.get_chars, atom.unicode, atom(""), 4)) == "two\u20ac".encode()
    assert await ask(a, device, line) == b"three\n"
    assert await ask(a, device, (atom.get_line, atom.latin1, atom(""))) == b"f\xe4ur"
    assert await ask(a, device, line) == atom.eof
    assert await ask(a, device, (atom.get_chars, atom.unicode, atom(""), 4)) == atom.eof


async def test_several_askers(a: Acting, b: Acting) -> None:
    device: Pid = await b.do("device", b"1\n2\n3\n4\n5\n6\n")
    line = (atom.get_line, atom.unicode, atom(""))

    async def three(asker: Acting) -> list[Any]:
        return [await ask(asker, device, line) for _ in range(3)]

    for_a, for_b = await asyncio.gather(three(a), three(b))
    assert sorted(for_a + for_b) == [b"%d\n" % number for number in range(1, 7)]
    assert for_a == sorted(for_a)


async def test_batches_end_with_the_first_that_fails(a: Acting, b: Acting) -> None:
    device: Pid = await b.do("device", b"")
    requests = [(*PUT, b"1"), (*PUT, atom.io_lib, atom.format, [b"~w", [2]]), (*PUT, b"3")]
    assert await ask(a, device, (atom.requests, requests)) == atom.ok
    assert await ask(a, device, (atom.requests, [(*PUT, b"4"), (atom.requests, [])])) == atom.ok
    failing = [(*PUT, b"5"), (*PUT, [-1]), (*PUT, b"6")]
    assert (await ask(a, device, (atom.requests, failing)))[0] == atom.error
    assert await b.do("written", device) == b"12345"


async def test_unknown_requests_are_refused(a: Acting, b: Acting) -> None:
    device: Pid = await b.do("device", b"")
    for request in (atom.rubbish, (atom.rubbish, 1), (atom.put_chars, 1, 2, 3, 4, 5, 6)):
        answer = await ask(a, device, request)
        assert answer in ((atom.error, atom.request), (atom.error, (atom.request, request)))


async def test_options(a: Acting, b: Acting) -> None:
    device: Pid = await b.do("device", b"one\ntwo\n")
    assert {(atom.binary, True), (atom.encoding, atom.unicode)} <= set(
        await ask(a, device, atom.getopts)
    )
    assert await ask(a, device, (atom.setopts, [(atom.binary, False)])) == atom.ok
    line = (atom.get_line, atom.unicode, atom(""))
    assert await ask(a, device, line) == charlist("one\n")
    assert await ask(a, device, (atom.setopts, [(atom.binary, True)])) == atom.ok
    assert await ask(a, device, line) == b"two\n"
    assert await ask(a, device, (atom.setopts, [(atom.rubbish, 1)])) == (atom.error, atom.enotsup)
    assert (await ask(a, device, (atom.get_geometry, atom.columns)))[0] == atom.error


async def test_output_goes_to_the_group_leader(a: Acting, b: Acting) -> None:
    device: Pid = await b.do("device", b"")
    await b.do("set_leader", a.pid, device)
    await b.do("send", a.pid, atom.after)
    assert await a.next() == atom.after
    assert await a.do("leader") == device
    assert await ask(a, STANDARD_IO, (*PUT, b"to my leader")) == atom.ok
    assert await b.do("written", device) == b"to my leader"


async def test_the_group_leader_is_inherited(pair: Pair, a: Acting, b: Acting) -> None:
    await a.do("set_leader", a.pid, b.pid)
    for node in (pair.a.node, pair.b.node):
        call = (atom.semantics, atom.lead, [a.pid])
        await a.do("spawn_request", node, *call, [])
        messages = [await a.next(), await a.next()]
        assert (atom.leader, b.pid) in messages


async def test_a_leader_that_is_gone_is_terminated(a: Acting, b: Acting) -> None:
    device: Pid = await b.do("device", b"")
    await b.do("exit", device, atom.kill)
    await b.do("send", a.pid, atom.after)
    assert await a.next() == atom.after
    assert await ask(a, device, (*PUT, b"x")) == TERMINATED
    await b.do("set_leader", a.pid, device)
    await b.do("send", a.pid, atom.after)
    assert await a.next() == atom.after
    assert await ask(a, STANDARD_IO, (*PUT, b"x")) == TERMINATED


async def test_a_leader_that_ends_while_it_is_asked_is_terminated(a: Acting, b: Acting) -> None:
    asking = asyncio.ensure_future(ask(a, b.pid, (atom.get_line, atom.unicode, b"")))
    request = await b.next()
    assert (request[0], request[1], request[3]) == (
        atom.io_request, a.pid, (atom.get_line, atom.unicode, b""),
    )  # fmt: skip
    b.begin("stop", atom.normal)
    assert await asking == TERMINATED


async def test_a_lost_connection_is_terminated(apart: Pair, a: Acting, b: Acting) -> None:
    asking = asyncio.ensure_future(ask(a, b.pid, atom.getopts))
    await b.next()
    assert apart.cut is not None
    # Not until it is over: the answer to the hand may connect again.
    cutting = asyncio.ensure_future(apart.cut())
    assert await asking == TERMINATED
    cutting.cancel()
    await asyncio.wait([cutting])
