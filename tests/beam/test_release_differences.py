"""What differs between the releases of OTP, on the chosen one; ``sys`` is in ``test_sys.py``."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from pynode import EncodeError, GenServer, etf
from pynode.dist.flags import OUR_FLAGS, Flag, offered
from pynode.node import Node
from pynode.process.process import Process
from pynode.terms import Record, atom, identical
from pynode.testing import Beam, eventually, receives
from tests.beam.meshes import erl

#: A process that keeps what comes until told ``go``, then tells of it in the order of its mailbox.
KEEPER = """
spawn(fun() ->
    process_flag(trap_exit, true),
    receive go -> ok end,
    (fun Loop() -> receive {'EXIT', _, X} -> To ! {exit, X}, Loop(); X -> To ! X, Loop() end end)()
end).
"""

ECHO = "spawn(fun Loop() -> receive {From, X} -> From ! {self(), X}, Loop() end end)."


def agreed(node: Node, ex: Beam) -> int:
    """Return the flags of the connection."""
    return node.net.agreed_flags(ex.name)


async def barrier(node: Node, ex: Beam) -> None:
    """Wait until all that ``node`` sent has arrived."""
    assert await node.ping(ex.name)


def mailbox(node: Node) -> Process:
    """Return a process that traps exits, for a test to receive in."""
    return node.runtime.spawn(None, trap_exit=True)


async def taken(process: Process, count: int) -> list[Any]:
    """Return the next messages, each exit as its reason."""
    messages = [await process.receive(timeout=10) for _ in range(count)]
    return [m[2] if type(m) is tuple and m[0] == atom.EXIT else m for m in messages]


# --------------------------------------------------------------------------- flags, references


async def test_the_flags_of_the_connection(beam: Any, py_node: Any) -> None:
    ex = erl(beam)
    async with py_node() as node:
        await node.connect(ex.name)
        missing = 0
        if ex.otp_release < 28:
            missing |= Flag.ALTACT_SIG
        if ex.otp_release < 29:
            missing |= Flag.NATIVE_RECORDS
        assert agreed(node, ex) == OUR_FLAGS & ~missing | Flag.PUBLISHED


async def test_references_of_three_and_of_five_words(beam: Any, py_node: Any) -> None:
    """A process's alias tells its process from OTP 26 on, and is longer by that."""

    class Tags(GenServer):
        def handle_call(self, request: Any, caller: Any) -> Any:
            tags.append(caller.tag.tail)
            return caller.tag

    tags: list[Any] = []
    ex = erl(beam)
    words = 3 if ex.otp_release < 26 else 5
    async with py_node() as node:
        await node.connect(ex.name)
        await node.start(Tags, name="tags")
        told = await ex.aeval(
            "[alias|Ref] = gen_server:call({tags, Node}, x), Ref.", Node=node.name
        )
        assert tags == [told]
        assert len(told.words) == words
        # Whatever comes goes back as it came, inside any term.
        code = """
            Refs = [make_ref(), alias(), monitor(process, self(), [{alias, explicit_unalias}])],
            Echo ! {self(), {Refs, #{hd(Refs) => Refs}}},
            receive {Echo, X} -> {X =:= {Refs, #{hd(Refs) => Refs}}, Refs} after 9000 -> none end.
        """
        echo = node.spawn(_echo)
        same, refs = await ex.aeval(code, Echo=echo)
        assert same is True
        assert [len(ref.words) for ref in refs] == [3, words, words]
        # As the reference of a monitor of ours, which it goes back with.
        code = """
            Ref = monitor(process, Echo, [{alias, reply_demonitor}]), exit(Echo, bye),
            receive {'DOWN', Ref, process, Echo, Why} -> Why after 9000 -> none end.
        """
        assert await ex.aeval(code.replace("Ref", "Ref2"), Echo=echo) == atom.bye
        # As an alias to send to, and of ours to be sent to.
        alias = await ex.aeval("Alias = alias(), Alias.")
        node.send(alias, (atom.to, alias))
        assert await ex.aeval("receive {to, Alias} -> yes after 9000 -> no end.") == atom.yes
        mine = node.runtime.alias(node.main)
        await ex.aeval("Mine ! {by, Mine}.", Mine=mine)
        await receives(node.main, (atom.by, mine))


async def _echo(process: Process) -> None:
    async for sender, message in process:
        process.runtime.send(process, sender, (process.pid, message))


# --------------------------------------------------------------------------- priority messages


async def test_priority_messages_from_a_beam(beam: Any, py_node: Any) -> None:
    """From OTP 28 on they are one operation of their own (37), as are exits to aliases."""
    ex = erl(beam)
    if ex.otp_release < 28:
        pytest.skip("priority messages came with OTP 28")
    async with py_node() as node:
        await node.connect(ex.name)
        process = mailbox(node)
        plain = node.runtime.alias(process)
        urgent = node.runtime.alias(process, priority=True)
        code = """
            Pid ! 1,
            erlang:send(Plain, 2, [priority]), erlang:send(Urgent, 3, [priority]),
            erlang:send(Urgent, 4), erlang:send(Pid, 5, [priority]),
            exit(Plain, 6, [priority]), exit(Urgent, 7, [priority]), exit(Urgent, 8),
            exit(Pid, 9, [priority]),
            erlang:send({known, node(Pid)}, 10, [priority]), Pid ! done.
        """
        node.runtime.register("known", process.pid)
        await ex.aeval(code, Pid=process.pid, Plain=plain, Urgent=urgent)
        await eventually(
            lambda: process.mailbox is not None and len(process.mailbox.messages()) == 11
        )
        assert await taken(process, 11) == [3, 7, 1, 2, 4, 5, 6, 8, 9, 10, atom.done]
        # An alias of one reply is gone after it, however it came.
        once = node.runtime.alias(process, reply=True, priority=True)
        await ex.aeval("erlang:send(Once, 1, [priority]), Once ! 2, exit(Once, 3), Pid2 ! 4.",
                       Once=once, Pid2=process.pid)  # fmt: skip
        assert await taken(process, 2) == [1, 4]
        # An untrapped one ends the process.
        process.trap_exit = False
        await ex.aeval("exit(Urgent, bye).")
        await eventually(lambda: process.exit_reason == atom.bye)


async def test_links_and_monitors_with_priority(beam: Any, py_node: Any) -> None:
    ex = erl(beam)
    if ex.otp_release < 28:
        pytest.skip("priority messages came with OTP 28")
    async with py_node() as node:
        await node.connect(ex.name)
        process = mailbox(node)
        code = """
            process_flag(trap_exit, true), self() ! first,
            link(Pid, [priority]), M = monitor(process, Pid, [priority]), exit(Pid, bye),
            (fun Wait() ->
                case process_info(self(), message_queue_len) of {_, 3} -> ok; _ -> Wait() end
            end)(),
            [receive {'EXIT', Pid, X} -> {exit, X}; {'DOWN', M, _, _, X} -> {down, X}; X -> X
             after 9000 -> none end || _ <- [1, 2, 3]].
        """
        process.trap_exit = False
        expected = [(atom.exit, atom.bye), (atom.down, atom.bye), atom.first]
        assert await ex.aeval(code, Pid=process.pid) == expected


async def test_priority_messages_to_a_beam(beam: Any, py_node: Any) -> None:
    """To a release without them they are ordinary ones, and an exit to an alias is nothing."""
    ex = erl(beam)
    has_them = ex.otp_release >= 28
    async with py_node() as node:
        await node.connect(ex.name)
        assert bool(agreed(node, ex) & Flag.ALTACT_SIG) is has_them
        code = """
            Start = fun(Options) ->
                Me = self(),
                Pid = spawn(fun() -> Me ! {alias, alias(Options)}, Keeper() end),
                receive {alias, Alias} -> {Pid, Alias} end
            end,
            [Start(Options) || Options <- All].
        """
        keeper = KEEPER.strip().removeprefix("spawn(").removesuffix(").")
        options = [[], [atom.priority]] if has_them else [[], []]
        bound = f"To = Main, Keeper = {keeper},{code}"
        (one, plain), (two, urgent) = await ex.aeval(bound, Main=node.main.pid, All=options)
        for pid, alias in ((one, plain), (two, urgent)):
            node.send(pid, 1)
            node.send(alias, 2, priority=True)
            node.send(alias, 3)
            node.exit(alias, 4, priority=True)
            node.exit(alias, 5)
            node.send(pid, 6, priority=True)
            node.exit(pid, 7, priority=True)
            await barrier(node, ex)
            await ex.aeval(
                "Pid2 ! go, ok.".replace("Pid2", f"Pid{pid.id}"), **{f"Pid{pid.id}": pid}
            )
            by_exit = [(atom.exit, number) for number in range(8)]
            expected: list[Any]
            if not has_them:
                expected = [1, 2, 3, 6, by_exit[7]]
            elif pid == one:
                expected = [1, 2, 3, by_exit[4], by_exit[5], 6, by_exit[7]]
            else:
                expected = [2, by_exit[4], 1, 3, by_exit[5], 6, by_exit[7]]
            found = [await node.main.receive(timeout=10) for _ in expected]
            assert found == expected


# --------------------------------------------------------------------------- native records

FIELDS = ((atom.id, 7), (atom.items, [b"tea", (1, 2.5)]), (atom.note, None))
RECORD, HIDDEN = (Record(atom.shop, atom.order, exported, FIELDS) for exported in (True, False))


async def test_native_records_go_where_they_are_agreed(beam: Any, py_node: Any) -> None:
    ex = erl(beam)
    async with py_node() as node:
        with pytest.raises(EncodeError, match=f"no connection to {ex.name}"):
            node.send(("nobody", ex.name), RECORD)
        await node.connect(ex.name)
        echo = await ex.aeval(ECHO)
        if agreed(node, ex) & Flag.NATIVE_RECORDS:
            assert ex.otp_release >= 29
            terms: list[Any] = [RECORD, [{b"key": RECORD}, (RECORD, HIDDEN)]]
            for term in terms:
                node.send(echo, (node.main.pid, term))
                _, back = await receives(node.main, lambda m: m[0] == echo)
                assert identical(back, term)
            return
        assert ex.otp_release < 29
        refused = f"{ex.name} has not agreed to native records"
        terms = [RECORD, [{b"key": (1, HIDDEN)}]]
        for term in terms:
            with pytest.raises(EncodeError, match=refused):
                node.send(echo, (node.main.pid, term))
            with pytest.raises(EncodeError, match=refused):
                node.exit(echo, term)
            with pytest.raises(EncodeError, match=refused):
                await node.call(echo, term)
            with pytest.raises(EncodeError, match=refused):
                await node.rpc.call(ex.name, "erlang", "length", [[term]])
        # A process of ours may die with one; the other side is told what it can read.
        dying = node.spawn(_dies_with_a_record)
        code = """
            M = monitor(process, Pid), Pid ! go,
            receive {'DOWN', M, _, _, Reason} -> Reason after 9000 -> none end.
        """
        reason = await ex.aeval(code, Pid=dying)
        assert reason[0][:2] == (atom.python_error, atom.EncodeError)
        # All of it harmed nothing: it is still the same connection.
        node.send(echo, (node.main.pid, atom.alive))
        await receives(node.main, (echo, atom.alive))


async def _dies_with_a_record(process: Process) -> None:
    await process.receive()
    process.runtime.exit(process, process.pid, RECORD)


async def test_native_records_are_read_whatever_was_agreed(
    beam: Any, py_node: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OTP 29 sends them to any peer."""
    ex = erl(beam)
    if ex.otp_release < 29:
        pytest.skip("native records came with OTP 29")
    monkeypatch.setattr("pynode.dist.flags.offered", partial(offered, without=Flag.NATIVE_RECORDS))
    async with py_node() as node:
        await node.connect(ex.name)
        assert not agreed(node, ex) & Flag.NATIVE_RECORDS
        data = b"\x83" + etf.encode_payload(RECORD, records=True)
        await ex.aeval("Pid ! binary_to_term(Data), ok.", Pid=node.main.pid, Data=data)
        found = await node.main.receive(timeout=10)
        assert identical(found, RECORD)
        with pytest.raises(EncodeError, match="has not agreed to native records"):
            node.send(("nobody", ex.name), found)


# --------------------------------------------------------------------------- greetings of pg


async def test_what_scopes_greet_each_other_with(beam: Any, py_node: Any) -> None:
    """OTP 29 offers version 1 of the protocol; ours never does, which would end a scope of 25."""
    ex = erl(beam)
    async with py_node() as node:
        node.runtime.register("scope", node.main.pid)
        await node.connect(ex.name)
        pid = await ex.aeval("{ok, Pid} = pg:start(scope), Pid.")
        expected = (atom.discover, pid, 1) if ex.otp_release >= 29 else (atom.discover, pid)
        await receives(node.main, expected)
        assert await ex.aeval("register(other, self()).") is True
        ours = node.pg.start("other")
        got = await ex.aeval(
            "receive X when element(1, X) =:= discover -> X after 9000 -> none end."
        )
        assert got == (atom.discover, ours)
        # Theirs is answered in the same words.
        await ex.aeval("{other, node(Scope)} ! {discover, self(), 1}.", Scope=ours)
        code = "receive Y when element(1, Y) =:= discover -> Y after 9000 -> none end."
        assert await ex.aeval(code) == (atom.discover, ours)
