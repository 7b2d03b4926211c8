"""Options of the wrong type are told by name, before anything is started."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest

from pynode import Exports, GenServer, Limits, Node, Timeouts
from pynode.config import TlsConfig
from pynode.errors import ConfigError

PyNode = Callable[..., Node]


class Counter(GenServer):
    started = 0

    def init(self) -> None:
        Counter.started += 1


def hello() -> None:
    pass


WRONG: list[tuple[str, Any, str]] = [
    ("name", 5, "name is a str, or None, not 5"),
    ("cookie", 5, "cookie is a str or bytes, or None, not 5"),
    ("cookie_file", 5, "cookie_file is a path, str or Path, or None, not 5"),
    ("hidden", 1, "hidden is a bool, not 1"),
    ("hidden", None, "hidden is a bool, not None"),
    ("long_names", "yes", "long_names is a bool, or None, not 'yes'"),
    ("listen", 5, "listen is a str, an address or a host, or None, not 5"),
    ("port", "a", "port is an int, a port's number, or None, not 'a'"),
    ("port", True, "port is an int, a port's number, or None, not True"),
    ("epmd", "no", "epmd is a bool, or None, not 'no'"),
    ("peer_port", 1.5, "peer_port is an int, a port's number, or None, not 1.5"),
    ("tls", True, "tls is a TlsConfig, or None, not True"),
    ("epmd_port", "4369", "epmd_port is an int, a port's number, or None, not '4369'"),
    ("start_epmd", None, "start_epmd is a bool, not None"),
    ("connect_all", 0, "connect_all is a bool, not 0"),
    ("prevent_overlapping_partitions", 0, "prevent_overlapping_partitions is a bool, not 0"),
    ("start_pg", [], "start_pg is a bool, not []"),
    ("cookies", "a", "cookies is a mapping of node names to cookies, or None, not 'a'"),
    ("cookies", {"a@b": 5}, "cookies['a@b'] is a str or bytes, not 5"),
    ("net_ticktime", "a", "net_ticktime is a number of seconds, or None, not 'a'"),
    ("timeouts", 5, "timeouts is a Timeouts, or None, not 5"),
    ("limits", {}, "limits is a Limits, or None, not {}"),
    ("policy", 3, "policy is a function of peer, action and target, not 3"),
    ("policy", None, "policy is a function of peer, action and target, not None"),
    ("expose", 5, "expose is a mapping of modules to what is exposed, or a list of Exports, not 5"),
    ("expose", "abc", "or a list of Exports, not 'abc'"),
    ("expose", [hello], "expose: a list has Exports in it, not <function hello"),
    ("expose", {"m": None}, "there is nothing to expose as 'm', but None"),
    ("expose", {"m": 5}, "there is no function to expose in 5"),
    ("expose", {5: hello}, "expose: a module is a str or an Atom, not 5"),
    ("shell", "yes", "shell is a bool or a mapping of names, not 'yes'"),
    ("introspection", "yes", "introspection is a bool, not 'yes'"),
]


@pytest.mark.parametrize(("option", "value", "message"), WRONG)
async def test_an_option_of_another_type_is_told_by_name(
    option: str, value: Any, message: str
) -> None:
    options: Any = {"name": "wrong@localhost", "cookie": "c", option: value}
    with pytest.raises(TypeError, match=re.escape(message)):
        Node(**options)
    with pytest.raises(TypeError, match=re.escape(message)):
        await Node.start(**options)


def test_every_option_is_looked_at() -> None:
    import inspect

    from pynode.options import _OPTIONS

    named = set(inspect.signature(Node.__init__).parameters) - {"self"}
    assert named == set(_OPTIONS) == {option for option, _, _ in WRONG}


def test_what_is_right_is_taken() -> None:
    Node(
        "right@localhost",
        cookie=b"c",
        hidden=True,
        port=0,
        net_ticktime=5,
        cookies={"a@b": b"x", "c@d": "y"},
        timeouts=Timeouts(call=None, stop=1),
        limits=Limits(threads=0),
        tls=None,
        expose={"m": hello, "n": {"f": hello}},
        shell={"hello": hello},
        introspection=True,
    )
    Node("right@localhost", cookie="c", expose=[Exports("m")], port=None, long_names=None)
    Node("right@localhost", cookie="c", expose=(each for each in [Exports("m")]))


def test_limits_and_timeouts() -> None:
    wrong: Any = "5"
    with pytest.raises(TypeError, match="Limits: threads is an int, not '5'"):
        Limits(threads=wrong)
    with pytest.raises(TypeError, match="Limits: depth is an int, not None"):
        Limits(depth=None)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="Limits: depth is not negative, as -1 is"):
        Limits(depth=-1)
    with pytest.raises(TypeError, match="Timeouts: call is a number of seconds or None, not '5'"):
        Timeouts(call=wrong)
    with pytest.raises(TypeError, match="Timeouts: net_ticktime is a number of seconds, not None"):
        Timeouts(net_ticktime=None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="Timeouts: stop"):
        Timeouts().replace(stop=True)
    with pytest.raises(ConfigError, match="Timeouts: stop is not negative, as -1 is"):
        Timeouts(stop=-1)
    with pytest.raises(ConfigError, match="70000 is no port"):
        Node("wrong@localhost", cookie="c", port=70_000)
    with pytest.raises(ConfigError, match="epmd_port: 70000 is no port"):
        Node("wrong@localhost", cookie="c", epmd_port=70_000)
    with pytest.raises(TypeError, match="TlsConfig: certfile is a path"):
        TlsConfig(certfile=5)  # type: ignore[arg-type]


async def test_only_servers_are_started(py_node: PyNode) -> None:
    async with py_node() as node:
        before = len(node.runtime.processes())
        wrong: Any
        for wrong in (None, 5, "Counter", asyncio.Future, hello, object(), Counter()):
            with pytest.raises(TypeError, match=r"what is started is a class: of GenServer"):
                await node.start(wrong, name="counter")
        wrong = "5"
        with pytest.raises(TypeError, match=r"or None for ever, not .5"):
            await node.start(Counter, timeout=wrong)
        assert Counter.started == 0
        assert len(node.runtime.processes()) == before
        assert node.whereis("counter") is None


async def test_a_name_is_one(py_node: PyNode) -> None:
    Counter.started = 0
    wrong: Any
    async with py_node() as node:
        for wrong in (5, ("glbal", "x"), b"name", ("via",)):
            with pytest.raises(TypeError, match="a name is a str or an Atom, not"):
                await node.start(Counter, name=wrong)
    assert Counter.started == 0


async def test_what_goes_to_a_pid_goes_to_nothing_else(py_node: PyNode) -> None:
    no_pid: Any = 5
    async with py_node() as node:
        with pytest.raises(TypeError, match="a name is given to a pid, not to 5"):
            node.register("a", no_pid)
        with pytest.raises(TypeError, match="a link is to a pid, not to 5"):
            node.link(no_pid)
        with pytest.raises(TypeError, match="a link is to a pid, not to 5"):
            node.unlink(no_pid)
        with pytest.raises(TypeError, match="an exit signal goes to a pid or an alias, not to 5"):
            node.exit(no_pid, "reason")


def test_what_is_exposed_can_be_called() -> None:
    node = Node("wrong@localhost", cookie="c")
    wrong: Any
    for wrong in (5, "text", object(), Counter, {"a": 5}, {}):
        with pytest.raises(TypeError):
            node.expose("m", wrong)
    for wrong in ("a", 1.5, [1, "b"], True):
        with pytest.raises(TypeError, match="arity is an int or several"):
            node.expose("m", hello, arity=wrong)
    with pytest.raises(ValueError, match="0 to 255 arguments"):
        node.expose("m", hello, arity=-1)
    wrong = 5
    with pytest.raises(TypeError):
        node.expose(wrong, hello)
    assert [key for key in node._resolver.exported() if str(key[0]) == "m"] == []
