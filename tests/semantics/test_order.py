"""Order: signals of one process to one other arrive in the order in which they were sent."""

from __future__ import annotations

from pynode.terms import Atom, atom
from tests.semantics.sides import Acting, Pair, nothing_more


async def test_messages_keep_their_order(a: Acting, b: Acting) -> None:
    await a.do("send_many", b.pid, 100)
    assert [await b.next() for _ in range(100)] == list(range(100))


async def test_by_pid_and_by_name_are_one_order(pair: Pair, a: Acting, b: Acting) -> None:
    await b.do("register", Atom("order_b"))
    name = (Atom("order_b"), pair.b.node)
    for number in range(10):
        await a.do("send", name if number % 2 else b.pid, number)
    assert [await b.next() for _ in range(10)] == list(range(10))


async def test_a_message_and_then_an_exit_signal(a: Acting, b: Acting) -> None:
    await b.do("trap_exit", True)
    await a.do("send", b.pid, atom.first)
    await a.do("exit", b.pid, atom.second)
    assert await b.next() == atom.first
    assert await b.next() == (atom.EXIT, a.pid, atom.second)


async def test_a_message_and_then_the_end_of_the_sender(a: Acting, b: Acting) -> None:
    ref = await b.do("monitor", a.pid)
    await a.do("send", b.pid, atom.last)
    await nothing_more(b, a)
    a.begin("stop", atom.bye)
    assert await b.next() == atom.last
    assert await b.next() == (atom.DOWN, ref, atom.process, a.pid, atom.bye)


async def test_to_a_dead_process_goes_nothing(pair: Pair, a: Acting, b: Acting) -> None:
    ref = await a.do("monitor", b.pid)
    await nothing_more(a, b)
    b.begin("stop", atom.normal)
    assert await a.next() == (atom.DOWN, ref, atom.process, b.pid, atom.normal)
    await a.do("send", b.pid, atom.hello)
    await a.do("exit", b.pid, atom.hello)
    await nothing_more(a, a)


async def test_a_stale_pid_reaches_nobody(pair: Pair, a: Acting, b: Acting) -> None:
    await a.do("send", pair.b.stale(b.pid), atom.hello)
    await a.do("exit", pair.b.stale(b.pid), atom.kill)
    await nothing_more(a, b)


async def test_values_arrive_as_the_table_has_them(a: Acting, b: Acting) -> None:
    await a.do("send", b.pid, ["text", b"bytes", {atom.key: [1, 2.5]}, (None, True), a.pid])
    assert await b.next() == [b"text", b"bytes", {atom.key: [1, 2.5]}, (None, True), a.pid]
