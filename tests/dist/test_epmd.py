"""EPMD without a socket: its messages both ways, and the registry that answers them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from pynode.dist import epmd as messages
from pynode.dist.epmd import NodeEntry
from pynode.dist.epmd_registry import MAX_PAST, Answer, Registry
from pynode.errors import ProtocolError

# --------------------------------------------------------------------------- messages

names = st.text(st.characters(exclude_characters="\0\n", exclude_categories=["Cs"]), min_size=1,
                max_size=255)  # fmt: skip
ports = st.integers(0, 0xFFFF)
entries = st.builds(
    NodeEntry, names, ports, st.integers(0, 255), st.integers(0, 255), ports, ports,
    st.binary(max_size=64),
)  # fmt: skip
requests = st.one_of(
    st.builds(messages.AliveRequest, entries),
    st.builds(messages.PortRequest, names),
    st.builds(messages.StopRequest, names),
    st.sampled_from([messages.NamesRequest(), messages.DumpRequest(), messages.KillRequest()]),
)


@given(requests)
def test_a_request_is_read_as_it_was_written(request: messages.Request) -> None:
    data = messages.encode_request(request)
    assert int.from_bytes(data[:2], "big") == len(data) - 2
    assert messages.parse_request(data[2:]) == request


@given(entries, st.integers(4, 0xFFFFFFFF))
def test_replies_are_read_as_they_were_written(entry: NodeEntry, creation: int) -> None:
    assert messages.parse_port_reply(messages.port_reply(entry)) == entry
    reply = messages.alive_reply(entry, creation)
    for cut in range(len(reply)):
        assert messages.parse_alive_reply(reply[:cut]) is None
    answer = messages.parse_alive_reply(reply)
    assert answer is not None
    expected = creation if entry.highest >= 6 else creation % 3 + 1
    assert answer == (0, expected)


@given(st.binary(max_size=64))
@settings(max_examples=300)
def test_parse_or_protocol_error(data: bytes) -> None:
    for parse in (
        messages.parse_request,
        messages.parse_port_reply,
        messages.parse_alive_reply,
        messages.parse_names_reply,
    ):
        for text in (data, b"w\0" + data, b"x" + data, b"z" + data, b"\0\0\x11\x11name " + data):
            try:
                parse(text)
            except ProtocolError:
                continue


def test_the_bytes_of_the_specification() -> None:
    alive = messages.AliveRequest(NodeEntry("ab", 0x1234, 77))
    assert messages.encode_request(alive) == b"\x00\x0fx\x12\x34M\0\0\x06\0\x05\0\x02ab\0\0"
    assert messages.alive_reply(alive.entry, 0x01020304) == b"v\0\1\2\3\4"
    assert messages.alive_reply(alive.entry, None) == b"v\1\0\0\0\x63"
    assert messages.alive_reply(NodeEntry("a", 1, highest=5), None) == b"y\1\0\x63"
    assert messages.port_reply(None) == b"w\1"
    names = messages.names_reply(4369, [NodeEntry("ab", 5)])
    assert names == b"\0\0\x11\x11name ab at port 5\n"
    assert messages.parse_names_reply(names) == (4369, [("ab", 5)])


# --------------------------------------------------------------------------- the registry


def test_creations_count_from_the_time_and_never_repeat() -> None:
    registry = Registry(4369)
    assert registry.register(NodeEntry("a", 1), 1, now=1000) == 1001
    assert registry.register(NodeEntry("b", 1), 2, now=1000) == 1001
    assert registry.register(NodeEntry("a", 1), 3, now=1000) is None
    assert registry.unregister(1) == "a"
    assert registry.register(NodeEntry("a", 2), 3, now=900) == 1002
    assert registry.unregister(99) is None
    assert registry.names == {"a": 2, "b": 1}


@pytest.mark.parametrize("now", [0, 2, 0xFFFFFFFE, 0xFFFFFFFF])
def test_no_creation_from_0_to_3(now: int) -> None:
    registry = Registry(4369)
    for life in range(8):
        creation = registry.register(NodeEntry("a", 1), life, now)
        assert creation is not None
        assert 4 <= creation <= 0xFFFFFFFF
        registry.unregister(life)


def test_the_past_is_bounded() -> None:
    registry = Registry(4369)
    for number in range(MAX_PAST + 10):
        registry.register(NodeEntry(f"n{number}", 1), number, now=1000)
        registry.unregister(number)
    assert registry.register(NodeEntry("n0", 1), 0, now=1) == 4
    assert registry.register(NodeEntry("n1009", 1), 1, now=1) == 1002


def test_what_is_for_this_host_only() -> None:
    registry = Registry(4369, relaxed_command_check=True)
    registry.register(NodeEntry("a", 5), 1, now=1000)
    for request in (
        messages.AliveRequest(NodeEntry("b", 1)),
        messages.DumpRequest(),
        messages.KillRequest(),
        messages.StopRequest("a"),
    ):
        assert registry.answer(request, 2, local=False, now=1) == (b"", False, None, False)
    answer = registry.answer(messages.PortRequest("a"), 2, local=False, now=1)
    assert messages.parse_port_reply(answer.data) == NodeEntry("a", 5)
    dump = registry.answer(messages.DumpRequest(), 2, local=True, now=1).data
    assert dump[4:] == b"active name     <a> at port 5, fd = 1\n\0"


def registered(*names: str, relaxed: bool = False) -> Registry:
    registry = Registry(4369, relaxed_command_check=relaxed)
    for owner, name in enumerate(names):
        assert registry.register(NodeEntry(name, 100 + owner), owner, now=1000)
    return registry


def test_one_connection_has_one_name() -> None:
    registry = registered("a")
    assert registry.register(NodeEntry("b", 1), 0, now=1000) is None
    assert registry.names == {"a": 100}


def test_a_registration_keeps_its_connection_and_a_refusal_does_not() -> None:
    registry = registered("a")
    request = messages.AliveRequest(NodeEntry("b", 9))
    answer = registry.answer(request, 7, local=True, now=1000)
    assert answer == Answer(b"v\0" + (1001).to_bytes(4, "big"), keep=True)
    assert registry.answer(request, 8, local=True, now=1000) == Answer(b"v\1\0\0\0\x63")


def test_questions() -> None:
    registry = registered("a", "b")
    assert registry.unregister(0) == "a"

    def ask(request: messages.Request) -> bytes:
        return registry.answer(request, 9, local=True, now=1).data

    assert ask(messages.NamesRequest()) == b"\0\0\x11\x11name b at port 101\n"
    assert ask(messages.PortRequest("a")) == b"w\1"
    assert messages.parse_port_reply(ask(messages.PortRequest("b"))) == NodeEntry("b", 101)
    assert ask(messages.DumpRequest()) == (
        b"\0\0\x11\x11active name     <b> at port 101, fd = 1\n\0"
        b"old/unused name <a>, port = 100, fd = 0 \n\0"
    )


def test_kill_and_stop_are_refused_unless_commands_are_relaxed() -> None:
    kill, stop = messages.KillRequest(), messages.StopRequest("a")
    strict, relaxed = registered("a"), registered("a", relaxed=True)
    assert strict.answer(kill, 9, local=True, now=1) == Answer(b"NO")
    assert strict.answer(stop, 9, local=True, now=1) == Answer()
    assert strict.names == {"a": 100}
    nobody = messages.StopRequest("nobody")
    assert relaxed.answer(nobody, 9, local=True, now=1) == Answer(b"NOEXIST")
    assert relaxed.answer(stop, 9, local=True, now=1) == Answer(b"STOPPED", stop=0)
    assert relaxed.names == {}
    assert registered("a", relaxed=True).answer(kill, 9, local=True, now=1).end
    # Without a name it has nothing to lose: OTP's ends too.
    assert registered().answer(kill, 9, local=True, now=1) == Answer(b"OK", end=True)


ALIVE = messages.encode_request(messages.AliveRequest(NodeEntry("abc", 5, extra=b"xy")))[2:]
PORT2 = messages.port_reply(NodeEntry("abc", 5, extra=b"xy"))


def test_a_request_cut_short_anywhere() -> None:
    for cut in range(len(ALIVE)):
        with pytest.raises(ProtocolError):
            messages.parse_request(ALIVE[:cut])
    long = messages.AliveRequest(NodeEntry("abc", 5, extra=bytes(messages.MAX_NAME_BYTES + 1)))
    with pytest.raises(ProtocolError, match="is too long"):
        messages.parse_request(messages.encode_request(long)[2:])


def test_the_extra_field_may_be_left_out_of_a_reply() -> None:
    for cut in range(len(PORT2)):
        if cut < len(PORT2) - 4:
            with pytest.raises(ProtocolError):
                messages.parse_port_reply(PORT2[:cut])
    assert messages.parse_port_reply(PORT2[:-4]) == NodeEntry("abc", 5)
    assert messages.parse_port_reply(PORT2) == NodeEntry("abc", 5, extra=b"xy")


@pytest.mark.parametrize("name", [b"", b"\xff", b"a\0b", b"a" * 256])
def test_what_is_no_name(name: bytes) -> None:
    with pytest.raises(ProtocolError):
        messages.parse_request(b"z" + name)


@pytest.mark.parametrize(
    ("lines", "names"),
    [
        (b"name a at port 1\nname b at port 22\n", [("a", 1), ("b", 22)]),
        (b"name a at port 1 at port 2\n", [("a at port 1", 2)]),
        (b"nonsense\nname a at port x\nat port 3\nname b at port 123456789\n", []),
    ],
)
def test_lines_that_are_not_understood_are_left_out(lines: bytes, names: Any) -> None:
    assert messages.parse_names_reply(b"\0\0\0\1" + lines) == (1, names)


def test_replies_that_are_none() -> None:
    with pytest.raises(ProtocolError):
        messages.parse_names_reply(b"\0\0\0")
    with pytest.raises(ProtocolError):
        messages.parse_names_reply(b"\0\0\0\1\xff")
    with pytest.raises(ProtocolError):
        messages.parse_alive_reply(b"v\0\0\0\0\1more")
    assert messages.parse_alive_reply(b"") is None
