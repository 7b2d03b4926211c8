"""Messages of any shape to the processes that every node has: they answer on, and none fails."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, strategies as st

from pynode.behaviours import gen
from pynode.config import NodeConfig, Timeouts
from pynode.dist.flags import OUR_FLAGS
from pynode.dist.seam import Peer
from pynode.net import Net
from pynode.process.runtime import Runtime
from pynode.services import Services
from pynode.terms import Atom, Pid, atom
from tests.process.wire import Recorder

from .vocabulary import FUZZ, OTHER_NODE, PEER_NODE, Faults, grown, run, vocabulary, words_of

ME = Atom("py@host")
CALL, CAST = atom("$gen_call"), atom("$gen_cast")
LIVE = [Pid(ME, number, 0, 7) for number in range(1, 12)]
PEER = Peer(PEER_NODE, 9, OUR_FLAGS, hidden=False)

WORDS = {
    "net_kernel": "is_auth ticktime longnames nodename spawn new_ticktime",
    "rex": "block_call call cast sbcast send features_request m f erlang node global whereis_name"
    " register_name resolve_it erpc execute_call net_kernel",
    "user": "io_request put_chars get_line get_until get_chars requests setopts getopts unicode"
    " latin1 io_lib format get_geometry columns get_password error binary",
    "standard_error": "io_request put_chars requests setopts getopts unicode latin1 io_lib format"
    " get_geometry columns nl write print",
    "logger_proxy": "log error info warning debug notice emergency load",
    "global_name_server": "register register_ext unregister set_lock del_lock sync get_known"
    " get_synced get_protocol_version get_names_ext info disconnect init_connect init_connect_ack"
    " cancel_connect lock_set exchange resolved new_nodes in_sync lost_connection"
    " remove_connection whereis async_del_name global locker no_longer_a_pid insert delete vsn"
    " lock prepare_shutdown DOWN EXIT nodeup nodedown process",
}


async def flood(name: str, messages: Iterable[Any]) -> None:
    runtime = Runtime(ME, 7)
    runtime.attach(Recorder())
    config = NodeConfig(name=str(ME), cookie=b"c", timeouts=Timeouts(net_ticktime=8))
    net = Net(config, OUR_FLAGS, runtime)  # never started: nobody can be reached
    services = Services(runtime, net, config)
    services.start()
    services.user.write = lambda text: None
    silence_stderr(runtime)
    runtime.peer_up(PEER)
    # Not the one that a program's own mistakes end, and the helpers that are replaced.
    pids = {process.pid: process for process in runtime.processes() if process.name is not None}
    try:
        with Faults() as faults:
            runtime.main  # noqa: B018  made now, so that its pid is known
            target = runtime.whereis(name)
            assert target is not None
            for message in messages:
                runtime.send(runtime.main, target, grown(message))
            for each in ("net_kernel", "rex", "user", "standard_error", "logger_proxy"):
                await ask(runtime, each)
            assert await gen.call(runtime.main, name_server(), atom.get_protocol_version, 5) == 8
            for _ in range(5):
                await asyncio.sleep(0)
        assert all(process.alive for process in pids.values())
        assert faults.records == []
        for node in (PEER_NODE, OTHER_NODE):
            runtime.peer_down(node, PEER if node == PEER_NODE else None, atom.connection_closed)
        assert not runtime.nodes.all()
    finally:
        await services.stop()
        await runtime.stop(0)
    assert not any(runtime.pending().values())


def name_server() -> Atom:
    return Atom("global_name_server")


async def ask(runtime: Runtime, name: str) -> None:
    """Wait until ``name`` has handled all that was sent to it."""
    me, pid = runtime.main, runtime.whereis(name)
    assert pid is not None
    if name == "net_kernel":
        assert await gen.call(me, pid, (atom.is_auth, ME), 5) == atom.yes
    elif name == "logger_proxy":
        assert await gen.call(me, pid, (atom.log,), 5) == atom.ok
    elif name == "rex":
        runtime.send(me, pid, (me.pid, atom.features_request))
        await me.receive(lambda m: type(m) is tuple and m[:1] == (atom.features_reply,), timeout=5)
    else:
        tag = object.__hash__(pid)
        runtime.send(me, pid, (atom.io_request, me.pid, tag, atom.getopts))
        await me.receive(lambda m: type(m) is tuple and m[1:2] == (tag,), timeout=5)


def silence_stderr(runtime: Runtime) -> None:
    """Have ``standard_error`` write nothing."""
    pid = runtime.whereis("standard_error")
    process = None if pid is None else runtime.local(pid)
    assert process is not None
    device: Any = process.body
    device.write = lambda text: None


def formats(anything: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Requests that have text made: each control sequence, with what may be its arguments."""
    sequence = st.builds(
        "~{}{}{}{}{}".format,
        st.sampled_from(["", "3", "-9", "*", "999999", "40000000", "-", "0"]),
        st.sampled_from(["", ".", ".2", ".*", ".70", ".999999"]),
        st.sampled_from(["", "..", "..x", "..*"]),
        st.sampled_from(["", "t", "l", "tl", "k", "K", "tK"]),
        st.sampled_from([*"wpsefgbB+#ciWPxX~nz"]),
    )
    arguments = st.one_of(
        anything, st.floats(allow_nan=False, allow_infinity=False), st.integers(), st.text()
    )
    call = st.tuples(
        st.sampled_from([atom.format, atom.fwrite, atom.write, atom.print]),
        st.tuples(
            st.lists(sequence, max_size=3).map("".join).map(str.encode),
            st.lists(arguments, max_size=4),
        ).map(list)
        | st.lists(arguments, max_size=4),
    )
    put = call.map(lambda pair: (atom.put_chars, atom.unicode, atom.io_lib, *pair))
    prompt = call.map(lambda pair: (atom.get_line, atom.unicode, (atom.format, *pair[1])))
    return st.one_of(
        put,
        put,
        prompt,
        st.lists(st.one_of(put, prompt, anything), max_size=5).map(
            lambda some: (atom.requests, some)
        ),
    )


def messages_to(name: str) -> st.SearchStrategy[list[Any]]:
    words = words_of(WORDS[name])
    anything = vocabulary(words, LIVE)
    callers = st.one_of(
        st.tuples(st.sampled_from([*LIVE, Pid(PEER_NODE, 1, 0, 9)]), anything), anything
    )
    requests = st.one_of(
        anything,
        # A known word, with any number of anything behind it.
        st.tuples(st.sampled_from(words), st.lists(anything, max_size=6)).map(
            lambda pair: (pair[0], *pair[1])
        ),
    )
    messages = st.one_of(
        requests,
        st.tuples(st.just(CALL), callers, requests),
        st.tuples(st.just(CAST), requests),
        st.tuples(st.sampled_from(LIVE), requests),
    )
    if "io_request" in WORDS[name]:
        asking = st.sampled_from([*LIVE, Pid(PEER_NODE, 1, 0, 9)])
        whole = st.tuples(st.just(atom.io_request), asking, anything, formats(anything) | requests)
        messages = messages | whole
    return st.lists(messages, max_size=25)


@pytest.mark.parametrize("name", WORDS)
def test_any_messages(name: str) -> None:
    @FUZZ
    @given(messages_to(name))
    def fuzz(messages: list[Any]) -> None:
        run(flood(name, messages))

    fuzz()
