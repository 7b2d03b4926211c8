"""The name server alone: one message at a time, over a host that writes down what it is asked."""

from __future__ import annotations

from typing import Any

import pytest

from pynode.services.global_.dispatch import handle_call, handle_message
from pynode.services.global_.server import NameServer
from pynode.services.global_.wire import VERSION
from pynode.terms import Atom, Pid, Reference, atom

ME, PEER, THIRD = Atom("m@h"), Atom("p@h"), Atom("t@h")
GLOBAL = atom("global")
CAST = atom("$gen_cast")
METHOD = (atom.some, atom.method)
LOCKER = Pid(PEER, 9, 0, 1)


def pid(number: int, node: Atom = ME) -> Pid:
    return Pid(node, number, 0, 1)


class Host:
    """Writes down every request; all processes of this node live."""

    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []
        self.monitors: dict[Reference, Pid] = {}
        self.answers: list[tuple[Any, Any]] = []
        self.dead: set[Pid] = set()

    def __getattr__(self, name: str) -> Any:
        def note(*args: Any) -> None:
            self.done.append((name, *args))

        return note

    def monitor(self, target: Pid) -> Reference:
        ref = Reference(ME, 1, (len(self.monitors) + 1, 0, 0))
        self.monitors[ref] = target
        return ref

    def reply(self, caller: Any, answer: Any) -> None:
        self.answers.append((caller, answer))

    def is_alive(self, target: Pid) -> bool:
        return target not in self.dead

    def sent(self, kind: str, word: str) -> list[Any]:
        """Return the messages of one sort: what is asked for by ``kind``, beginning with a word."""
        return [
            entry[-1]
            for entry in self.done
            if entry[0] == kind and isinstance(entry[-1], tuple) and entry[-1][0] == Atom(word)
        ]


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def server(host: Host) -> NameServer:
    made = NameServer(host, ME, tag_base=100, creation_id=77)
    made.locker = pid(2)
    return made


def greet(server: NameServer, node: Atom = PEER, tag: int = 5, version: int = VERSION) -> None:
    locker: Any = (atom.locker, atom.no_longer_a_pid, {}, Pid(node, 9, 0, 1))
    handle_message(server, (CAST, (atom.init_connect, (version, tag), node, locker)))


def call(server: NameServer, host: Host, request: Any, by: Pid) -> Any:
    handle_call(server, (by, atom.tag), request)
    return host.answers.pop()[1]


# --------------------------------------------------------------------------- sessions


def test_a_nodeup_is_answered_with_init_connect(server: NameServer, host: Host) -> None:
    server.nodeup(PEER)
    [(_, version, node, locker)] = host.sent("cast", "init_connect")
    assert (version, node, locker[3]) == ((8, 101), ME, server.locker)


def test_connect_all_false_greets_nobody(host: Host) -> None:
    server = NameServer(host, ME, connect_all=False)
    server.nodeup(PEER)
    greet(server)
    assert host.done == []


def test_a_greeting_is_acknowledged_and_given_to_the_locker(server: Any, host: Host) -> None:
    server.nodeup(PEER)
    greet(server, tag=5)
    assert host.sent("send", "init_connect_ack") == [(atom.init_connect_ack, ME, 5, 101)]
    assert host.sent("to_locker", "his_the_locker") == [(atom.his_the_locker, LOCKER, 8, 5, 101)]
    assert server.pending == {PEER: 8}


def test_who_is_not_connected_cannot_greet(server: NameServer, host: Host) -> None:
    greet(server, tag=5)
    handle_message(server, (CAST, (atom.in_sync, PEER, True)))
    assert host.done == []
    assert server.synced == []


def test_a_greeting_without_a_session_begins_one(server: NameServer, host: Host) -> None:
    server.nodeup(PEER)
    handle_message(server, (CAST, (atom.in_sync, PEER, True)))
    greet(server, tag=5)
    assert len(host.sent("cast", "init_connect")) == 2
    assert host.sent("send", "init_connect_ack") == [(atom.init_connect_ack, ME, 5, 102)]


def test_a_known_node_is_not_joined_again(server: NameServer, host: Host) -> None:
    server.known[PEER] = 8
    server.nodeup(PEER)
    greet(server, tag=5)
    assert host.done == []


def test_a_second_greeting_cancels_both_and_begins_again(server: NameServer, host: Host) -> None:
    server.nodeup(PEER)
    greet(server, tag=5)
    host.done.clear()
    greet(server, tag=6)
    assert host.sent("send", "cancel_connect") == [
        (atom.cancel_connect, ME, 6),
        (atom.cancel_connect, ME, 5),
    ]
    [(_, version, _, _)] = host.sent("cast", "init_connect")
    assert version == (8, 102)
    assert server.pending == {}


@pytest.mark.parametrize(
    ("mine", "his", "restarts"), [(101, 5, False), (101, 4, True), (100, 5, False), (100, 4, False)]
)
def test_acks(server: Any, host: Host, mine: int, his: int, restarts: bool) -> None:
    server.nodeup(PEER)
    greet(server, tag=5)
    host.done.clear()
    handle_message(server, (atom.init_connect_ack, PEER, mine, his))
    assert bool(host.sent("cast", "init_connect")) is restarts


def test_cancel_connect_of_this_session_begins_again(server: NameServer, host: Host) -> None:
    server.nodeup(PEER)
    greet(server)
    host.done.clear()
    handle_message(server, (atom.cancel_connect, PEER, 100))
    assert host.done == []
    handle_message(server, (atom.cancel_connect, PEER, 101))
    assert host.sent("to_locker", "cancel") == [(atom.cancel, PEER, 101, [])]
    assert len(host.sent("cast", "init_connect")) == 1


def join(server: NameServer, known: list[Any] | None = None, operations: Any = ()) -> Any:
    """Run one session to its end; return the lock's id."""
    server.nodeup(PEER)
    greet(server)
    tag = server.sessions[PEER].my_tag
    lock_id = (GLOBAL, [pid(2), LOCKER])
    server.locks.set(*lock_id, LOCKER)
    server.lock_is_set(PEER, tag, lock_id)
    handle_message(server, (CAST, (atom.exchange, PEER, [], [], tag)))
    server.exchange_ops(PEER, tag, [], [])
    resolved: Any = (atom.resolved, PEER, list(operations), known or [], atom.unused, [], tag)
    handle_message(server, (CAST, resolved))
    server.locks.delete(*lock_id, LOCKER)
    return lock_id


def test_a_whole_session(server: NameServer, host: Host) -> None:
    mine = pid(3)
    server.names.insert(b"mine", mine, METHOD)
    theirs = (atom.insert, (b"theirs", pid(4, PEER), METHOD))
    join(server, [(THIRD, 8)], [theirs])
    assert host.sent("cast", "exchange") == [(atom.exchange, ME, [(b"mine", mine, METHOD)], [], 5)]
    assert host.sent("cast", "resolved") == [(atom.resolved, ME, [], [], atom.unused, [], 5)]
    assert server.known == {PEER: 8, THIRD: 8}
    assert server.synced == [PEER]
    assert not server.sessions
    assert not server.pending
    assert server.where(b"theirs") == pid(4, PEER)
    assert ("greet", THIRD) in host.done
    assert not host.sent("send", "cancel_connect")


@pytest.mark.parametrize("early", ["exchange", "resolved", "both"])
def test_what_comes_before_its_turn_is_kept(server: NameServer, host: Host, early: str) -> None:
    server.nodeup(PEER)
    greet(server)
    lock_id = (GLOBAL, [pid(2), LOCKER])
    exchange: Any = (CAST, (atom.exchange, PEER, [(b"n", pid(1, PEER), METHOD)], [], 101))
    resolved: Any = (CAST, (atom.resolved, PEER, [], [], atom.unused, [], 101))
    if early != "resolved":
        handle_message(server, exchange)
        assert not [entry for entry in host.done if entry[0] == "start_resolver"]
    if early == "both":
        handle_message(server, resolved)
    server.lock_is_set(PEER, 101, lock_id)
    if early == "resolved":
        handle_message(server, exchange)
        handle_message(server, resolved)
    assert [entry[:3] for entry in host.done if entry[0] == "start_resolver"] == [
        ("start_resolver", PEER, 101)
    ]
    server.exchange_ops(PEER, 101, [], [])
    if early == "exchange":
        handle_message(server, resolved)
    assert server.synced == [PEER]


def test_the_old_partition_is_told_of_the_new_nodes(server: NameServer, host: Host) -> None:
    server.known[THIRD] = 8
    lock_id = join(server, [(Atom("x@h"), 8)])
    [(_, node, _, [(told, (word, sender, ops, external, nodes, extra))])] = host.sent(
        "to_locker", "cancel"
    )
    assert (node, told, word, sender) == (PEER, THIRD, atom.new_nodes, ME)
    assert (ops, external, nodes) == ([], [], [(PEER, 8), (Atom("x@h"), 8)])
    assert extra == [(atom.vsn, 8), (atom.lock, lock_id)]


def test_messages_of_an_old_session_only_release_its_lock(server: Any, host: Host) -> None:
    server.nodeup(PEER)
    greet(server)
    host.done.clear()
    old: list[Any] = [
        (atom.exchange, PEER, [], [], 7),
        (atom.resolved, PEER, [], [], atom.unused, [], 7),
    ]
    for message in old:
        handle_message(server, (CAST, message))
    server.lock_is_set(PEER, 7, (GLOBAL, []))
    assert host.done == [("to_locker", (atom.cancel, PEER, 7, []))] * 3


def test_lock_set_goes_to_the_locker_if_the_session_is_this_one(server: Any, host: Host) -> None:
    server.nodeup(PEER)
    greet(server)
    for tag in (101, 7):
        handle_message(server, (CAST, (atom.lock_set, LOCKER, True, [], tag)))
    handle_message(server, (CAST, (atom.lock_set, LOCKER, False, [])))
    assert [message[-1] for message in host.sent("to_locker", "lock_set")] == [101, []]


def test_lock_set_without_a_session_begins_one(server: NameServer, host: Host) -> None:
    server.nodeup(PEER)
    greet(server)
    handle_message(server, (CAST, (atom.in_sync, PEER, True)))
    host.done.clear()
    handle_message(server, (CAST, (atom.lock_set, LOCKER, True, [], 101)))
    assert len(host.sent("cast", "init_connect")) == 1


# --------------------------------------------------------------------------- names and locks


def test_a_name_needs_the_lock_of_who_registers(server: NameServer, host: Host) -> None:
    holder, other = pid(5, PEER), pid(6, PEER)
    assert call(server, host, (atom.set_lock, (GLOBAL, holder)), holder) is True
    register = (atom.register, [1, 2], pid(7, PEER), METHOD)
    assert call(server, host, register, other) == atom.yes
    assert server.where([1, 2]) is None
    assert call(server, host, register, holder) == atom.yes
    assert server.where([1, 2]) == pid(7, PEER)
    assert call(server, host, (atom.unregister, [1, 2]), holder) == atom.ok
    assert server.where([1, 2]) is None


def test_a_name_registered_after_its_lock_was_lost_does_not_count(
    server: NameServer, host: Host
) -> None:
    holder = pid(5, PEER)
    call(server, host, (atom.set_lock, (GLOBAL, holder)), holder)
    [ref] = host.monitors
    handle_message(server, (atom.DOWN, ref, atom.process, holder, atom.noconnection))
    call(server, host, (atom.register, b"late", pid(7, PEER), METHOD), holder)
    assert server.where(b"late") is None


def test_new_nodes_count_only_under_their_own_lock(server: NameServer, host: Host) -> None:
    theirs = (GLOBAL, [pid(9, PEER), pid(9, THIRD)])
    insert = [(atom.insert, (b"n", pid(7, PEER), METHOD))]
    message: Any = (atom.new_nodes, PEER, insert, [], [(THIRD, 8)], [(atom.lock, theirs)])
    server.locks.set(GLOBAL, [pid(1, PEER)], pid(1, PEER))
    handle_message(server, (CAST, message))
    assert server.where(b"n") is None
    server.locks.delete(GLOBAL, [pid(1, PEER)], pid(1, PEER))
    server.locks.set(*theirs, pid(9, PEER))
    handle_message(server, (CAST, message))
    assert server.where(b"n") == pid(7, PEER)
    assert server.known == {THIRD: 8}


def test_a_session_begun_again_frees_what_that_node_holds(server: NameServer, host: Host) -> None:
    server.nodeup(PEER)
    greet(server)
    call(server, host, (atom.set_lock, (GLOBAL, LOCKER)), LOCKER)
    handle_message(server, (atom.cancel_connect, PEER, 101))
    assert server.locks.get(GLOBAL) is None


def test_locks_are_shared_by_requester(server: NameServer, host: Host) -> None:
    one, two = pid(5), pid(6, PEER)
    lock = (atom.resource, atom.us)
    assert call(server, host, (atom.set_lock, lock), one) is True
    assert call(server, host, (atom.set_lock, lock), one) is True
    assert call(server, host, (atom.set_lock, lock), two) is True
    assert call(server, host, (atom.set_lock, (atom.resource, atom.them)), two) is False
    assert call(server, host, (atom.del_lock, lock), one) is True
    assert call(server, host, (atom.set_lock, (atom.resource, atom.them)), one) is False
    assert call(server, host, (atom.del_lock, lock), two) is True
    assert call(server, host, (atom.set_lock, (atom.resource, atom.them)), one) is True


def test_resources_and_requesters_are_compared_as_terms(server: NameServer, host: Host) -> None:
    one = pid(5)
    assert call(server, host, (atom.set_lock, (1, [1])), one) is True
    assert call(server, host, (atom.set_lock, (1.0, [2])), one) is True
    assert call(server, host, (atom.set_lock, (True, [3])), one) is True
    assert call(server, host, (atom.set_lock, (1, [1.0])), one) is False


def test_the_lock_of_a_lost_node_is_free(server: NameServer, host: Host) -> None:
    server.nodeup(PEER)
    call(server, host, (atom.set_lock, (atom.resource, atom.us)), pid(6, PEER))
    server.nodedown(PEER)
    assert len(server.locks) == 0


def test_our_own_dead_process_bears_no_name(server: NameServer, host: Host) -> None:
    server.names.insert(b"n", pid(3), METHOD)
    host.dead.add(pid(3))
    assert server.where(b"n") is None


def test_whereis_waits_for_the_table_to_be_quiet(server: NameServer, host: Host) -> None:
    server.names.insert(b"n", pid(3), METHOD)
    caller = (pid(8), atom.tag)
    server.locks.set(GLOBAL, atom.us, pid(8))
    handle_message(server, (atom.whereis, b"n", caller))
    assert host.answers == []
    assert ("ask_again", b"n", caller) in host.done
    server.locks.delete(GLOBAL, atom.us, pid(8))
    handle_message(server, (atom.whereis, b"n", caller))
    assert host.answers == [(caller, pid(3))]


def test_external_names_are_carried(server: NameServer, host: Host) -> None:
    holder = pid(5, PEER)
    call(server, host, (atom.set_lock, (GLOBAL, holder)), holder)
    call(server, host, (atom.register_ext, b"c", pid(7, PEER), METHOD, PEER), holder)
    assert call(server, host, atom.get_names_ext, holder) == [(b"c", pid(7, PEER), PEER)]
    call(server, host, (atom.unregister, b"c"), holder)
    assert call(server, host, atom.get_names_ext, holder) == []


# --------------------------------------------------------------------------- sync


def test_sync_answers_when_all_are_in_sync_or_gone(server: NameServer, host: Host) -> None:
    caller = (pid(8), atom.tag)
    server.nodeup(PEER)
    handle_call(server, caller, (atom.sync, [ME, PEER, THIRD]))
    assert host.answers == []
    handle_message(server, (CAST, (atom.in_sync, PEER, True)))
    assert host.answers == []
    server.sync_lost(THIRD)
    assert host.answers == [(caller, atom.ok)]
    handle_call(server, caller, (atom.sync, [PEER]))
    assert len(host.answers) == 2


# --------------------------------------------------------------------------- partitions


def test_a_loss_is_reported_to_all_known_once(server: NameServer, host: Host) -> None:
    for node in (PEER, THIRD):
        server.nodeup(node)
        server.known[node] = 8
    server.nodedown(PEER)
    assert host.sent("send", "lost_connection") == [(atom.lost_connection, ME, 77, 1, PEER)]
    assert server.known == {THIRD: 8}


@pytest.mark.parametrize("option", ["connect_all", "prevent_overlapping_partitions"])
def test_a_loss_is_not_reported_without(host: Host, option: str) -> None:
    server = NameServer(host, ME, **{option: False})
    server.known = {PEER: 8, THIRD: 8}
    server.nodedown(PEER)
    handle_message(server, (atom.lost_connection, PEER, 1, 1, THIRD))
    assert not [entry for entry in host.done if entry[0] == "send"]
    assert THIRD in server.known


def test_a_reported_loss_is_passed_on_and_acted_on_once(
    server: Any, host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    fourth = Atom("f@h")
    server.known = {PEER: 8, THIRD: 8, fourth: 8}
    report = (atom.lost_connection, PEER, 1, 1, THIRD)
    handle_message(server, report)
    sent = [entry[1:] for entry in host.done if entry[0] == "send"]
    assert sent == [(THIRD, report), (fourth, report), (THIRD, (atom.remove_connection, ME))]
    assert server.known == {PEER: 8, fourth: 8}
    assert caplog.messages[-1].endswith(f"overlapping partitions: {PEER} has lost {THIRD}")
    host.done.clear()
    handle_message(server, report)
    assert host.done == []
    server.nodedown(THIRD)  # by agreement: no report of our own
    assert not host.sent("send", "lost_connection")


def test_if_we_are_the_lost_one_the_reporter_is_asked_to_go(server: Any, host: Host) -> None:
    server.known = {PEER: 8, THIRD: 8}
    handle_message(server, (atom.lost_connection, PEER, 1, 1, ME))
    assert ("send", PEER, (atom.remove_connection, ME)) in host.done
    assert server.known == {THIRD: 8}


def test_remove_connection_closes_also_when_both_ask(
    server: NameServer, host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    server.known = {PEER: 8, THIRD: 8}
    handle_message(server, (atom.remove_connection, THIRD))
    assert ("disconnect", THIRD) in host.done
    assert caplog.messages[-1].endswith(f"overlapping partitions: {THIRD} asked for it")
    handle_message(server, (atom.lost_connection, PEER, 1, 1, PEER))
    handle_message(server, (atom.remove_connection, PEER))
    assert ("disconnect", PEER) in host.done
    handle_message(server, (atom.remove_connection, Atom("stranger@h")))
    assert ("disconnect", Atom("stranger@h")) not in host.done


def test_disconnect_all_leaves_without_a_report(server: NameServer, host: Host) -> None:
    for node in (PEER, THIRD):
        server.nodeup(node)
        server.known[node] = 8
    assert call(server, host, atom.disconnect, pid(8)) == [PEER, THIRD]
    for node in (PEER, THIRD):
        server.nodedown(node)
    assert not host.sent("send", "lost_connection")
    assert server.known == {}


def test_a_nodedown_after_disconnect_all_is_no_news(server: NameServer, host: Host) -> None:
    server.nodeup(PEER)
    server.known[PEER] = 8
    call(server, host, atom.disconnect, pid(8))
    server.nodeup(THIRD)
    server.known[THIRD] = 8
    server.nodedown(PEER)
    assert not host.sent("send", "lost_connection")
    server.nodeup(PEER)
    server.nodedown(PEER)
    assert len(host.sent("send", "lost_connection")) == 1


# --------------------------------------------------------------------------- rubbish


RUBBISH = [
    atom.hello,
    (),
    7,
    (atom.init_connect, 8, PEER, atom.x),
    (atom.init_connect, (8, 1), "p@h", (1, 2, 3, LOCKER)),
    (atom.init_connect, (8, 1), PEER, (1, 2, 3, 4)),
    (atom.init_connect_ack, b"p@h", 1, 2),
    (atom.cancel_connect, [], 2),
    (atom.lock_set, 1, True, []),
    (atom.lock_set, LOCKER, 1, [], 101),
    (atom.exchange, PEER, [(1, 2, 3)], [], 101),
    (atom.exchange, PEER, 17, [], 101),
    (atom.resolved, PEER, [(atom.insert, 1)], [], 0, [], 101),
    (atom.resolved, PEER, [], [b"n"], 0, [], 101),
    (atom.new_nodes, PEER, [], [], [(PEER, b"8")], []),
    (atom.new_nodes, PEER, [1], [], [], []),
    (atom.in_sync, {}, True),
    (atom.lost_connection, PEER, 1, 1.5, THIRD),
    (atom.remove_connection, 5),
    (atom.new_nodes, 1, 2, 3, 4, 5),
]


@pytest.mark.parametrize("message", RUBBISH)
def test_rubbish_changes_nothing(
    server: NameServer, host: Host, message: Any, caplog: pytest.LogCaptureFixture
) -> None:
    server.nodeup(PEER)
    greet(server)
    server.lock_is_set(PEER, 101, (GLOBAL, [pid(2), LOCKER]))
    server.known[THIRD] = 8
    before = (dict(server.known), dict(server.pending), list(server.synced), len(server.names))
    host.done.clear()
    handle_message(server, (CAST, message))
    handle_message(server, message)
    assert host.done == []
    assert PEER in server.sessions
    assert before == (server.known, server.pending, server.synced, len(server.names))
    assert "message" in caplog.text


@pytest.mark.parametrize(
    "request_",
    [(atom.set_lock, 1), (atom.del_lock, [1]), (atom.sync, 1), (atom.sync, [1]),
     (atom.register, 1, 2, 3)],
)  # fmt: skip
def test_malformed_calls_are_answered(server: NameServer, host: Host, request_: Any) -> None:
    assert call(server, host, request_, pid(5)) == (atom.error, atom.badarg)
    assert len(server.names) == 0


def test_unknown_calls_are_not_answered(server: NameServer, host: Host) -> None:
    handle_message(server, (atom("$gen_call"), (pid(5), atom.tag), atom.stop))
    assert host.answers == []
