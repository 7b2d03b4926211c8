"""The services as processes of a runtime, without a network."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pynode.behaviours import gen
from pynode.config import NodeConfig, Timeouts
from pynode.errors import NoSuchNode, RemoteError
from pynode.net.ticker import Ticker
from pynode.process.runtime import Runtime
from pynode.services import Services
from pynode.terms import Atom, ImproperList, Pid, atom, charlist
from pynode.testing import eventually

ME = Atom("py@test")
GLOBAL = atom("global")


class NoNet:
    """A net with nobody on it."""

    def __init__(self) -> None:
        self.ticker = Ticker(60.0, lambda: None, lambda: None)

    def peers(self) -> list[Any]:
        return []

    def peer(self, node: Any) -> None:
        return None

    def disconnect(self, node: Any) -> bool:
        return False

    async def connect(self, node: Any, *, automatic: bool = False) -> None:
        raise NoSuchNode(str(node), "EPMD does not know it")


@pytest.fixture
async def services() -> AsyncIterator[Services]:
    runtime = Runtime(ME, 7)
    config = NodeConfig(name="py@test", cookie=b"c", timeouts=Timeouts(net_ticktime=8))
    made = Services(runtime, NoNet(), config)  # type: ignore[arg-type]
    made.start()
    yield made
    await made.stop()
    await runtime.stop(1)


@pytest.fixture
def runtime(services: Services) -> Runtime:
    return services._runtime


async def call(runtime: Runtime, name: str, request: Any) -> Any:
    return await gen.call(runtime.main, name, request, 5)


# --------------------------------------------------------------------------- global alone


async def test_a_node_alone_has_names_and_locks(services: Services, runtime: Runtime) -> None:
    global_ = services.global_
    pid = runtime.spawn(None).pid
    assert await global_.register_name(charlist("n"), pid)
    assert not await global_.register_name(charlist("n"), runtime.main.pid)
    assert global_.lookup(charlist("n")) == pid == await global_.whereis_name(charlist("n"))
    assert global_.registered_names() == [charlist("n")]
    assert await global_.set_lock((atom.r, atom.me), retries=0)
    assert await global_.trans((atom.r, atom.you), lambda: 1, retries=0) == atom.aborted
    assert await global_.trans((atom.s, atom.you), lambda: 1) == 1
    await global_.del_lock((atom.r, atom.me))
    await global_.sync()
    assert await global_.disconnect() == []
    runtime.exit(runtime.main, pid, atom.kill)
    assert global_.lookup(charlist("n")) is None


async def test_trans_deletes_its_lock_when_the_function_fails(services: Services) -> None:
    async def fail() -> None:
        raise KeyError("on purpose")

    with pytest.raises(KeyError):
        await services.global_.trans((atom.r, atom.me), fail)
    assert services.name_server.locks.get(atom.r) is None


@pytest.mark.parametrize("lock", ["name", (atom.a,), ("a", atom.b), (atom.a, "b")])
async def test_what_is_no_lock(services: Services, lock: Any) -> None:
    with pytest.raises(TypeError):
        await services.global_.set_lock(lock)


async def test_a_str_name_and_a_wrong_pid_are_type_errors(services: Services) -> None:
    global_, pid = services.global_, services.user.process.pid
    for wrong in (
        global_.register_name("n", pid),
        global_.re_register_name("n", pid),
        global_.register_name(atom.n, b"pid"),  # type: ignore[arg-type]
        global_.unregister_name("n"),
        global_.whereis_name("n"),
    ):
        with pytest.raises(TypeError):
            await wrong
    with pytest.raises(TypeError):
        global_.send("n", 1)


async def test_rubbish_does_not_end_the_processes(services: Services, runtime: Runtime) -> None:
    pids = [process.pid for process in runtime.processes()]
    for pid in pids:
        rubbish: list[Any] = [
            atom.hello, (), (atom.EXIT, pid, atom.gone), {}, (1, 2), (atom.lock_set, 1, True, 2, 3),
            (atom.cancel, 1, 2, 3), (atom.add_to_known, [1, [2]]), (atom.his_the_locker, 1),
            (atom("$gen_call"), (pid, 1), (atom.register, 1, 2, 3)),
            (atom("$gen_cast"), [[]]), (pid, (atom.sbcast, [], 1)),
        ]  # fmt: skip
        for message in rubbish:
            runtime.send(runtime.main, pid, message)
        runtime.exit(runtime.main, pid, atom.gone)
    assert await services.global_.register_name(b"still", runtime.spawn(None).pid)
    ended = [pid for pid in pids if not runtime.is_alive(pid)]
    assert ended in ([], [runtime.main.pid])


async def test_a_node_that_cannot_be_reached_is_forgotten(services: Services) -> None:
    server, node = services.name_server, Atom("away@test")
    server.known[node] = 8
    server.host.greet(node)
    await eventually(lambda: node not in server.known)
    await asyncio.wait_for(services.global_.sync([node]), 5)
    assert not await services.ping(node)


@pytest.mark.parametrize("which", ["locker", "registrar"])
async def test_a_killed_helper_is_replaced(
    services: Services, runtime: Runtime, which: str, caplog: pytest.LogCaptureFixture
) -> None:
    processes = services._global_processes
    assert processes is not None

    def pid() -> Pid | None:
        return services.name_server.locker if which == "locker" else processes.registrar.pid

    before = pid()
    assert before is not None
    runtime.exit(runtime.main, before, atom.kill)
    await eventually(lambda: pid() != before)
    assert which in caplog.text
    # A made-up report of its end changes nothing.
    now = pid()
    runtime.send(runtime.main, "global_name_server", (atom.EXIT, now, atom.gone))
    assert await services.global_.register_name(b"still", runtime.spawn(None).pid)
    assert pid() == now


# --------------------------------------------------------------------------- the small ones


async def test_net_kernel_says_yes(services: Services, runtime: Runtime) -> None:
    assert await call(runtime, "net_kernel", (atom.is_auth, atom("x@y"))) == atom.yes
    assert await call(runtime, "net_kernel", atom.nodename) == ME
    assert await call(runtime, "net_kernel", atom.longnames) is False


async def test_rex_answers(services: Services, runtime: Runtime) -> None:
    main = runtime.main
    runtime.send(main, "rex", (main.pid, atom.features_request))
    assert await main.receive(timeout=5) == (atom.features_reply, ME, [atom.erpc])
    runtime.send(main, "rex", (main.pid, (atom.call, atom.erlang, atom.node, [], atom.user)))
    assert await main.receive(timeout=5) == (atom.rex, ME)
    leader = services.user.process.pid
    request = (atom.call, atom.nothing, atom.here, [1], leader)
    undef: Any = (atom.undef, [(atom.nothing, atom.here, [1], [])])
    assert await call(runtime, "rex", request) == (atom.badrpc, (atom.EXIT, undef))
    block: Any = (atom.block_call, atom.erlang, atom.node, [], leader)
    assert await call(runtime, "rex", block) == ME


async def test_erpc_to_oneself(services: Services, runtime: Runtime) -> None:
    assert await services.erpc.call(ME, "net_kernel", "get_net_ticktime") == 60
    with pytest.raises(RemoteError) as caught:
        await services.erpc.call(ME, "erlang", "node", ImproperList([1], 2).elements)
    assert caught.value.reason == atom.undef
    where = "(atom.erlang, atom.node, [1])"
    assert str(caught.value) == f"error on {ME}: atom.undef in {where}"

    def not_a_term() -> object:
        return object()

    runtime.resolver.expose(not_a_term, module="calc")
    with pytest.raises(RemoteError) as caught:
        await services.erpc.call(ME, "calc", "not_a_term")
    assert caught.value.reason[:2] == (atom.python_error, atom.EncodeError)


async def test_new_processes_have_the_group_leader(services: Services, runtime: Runtime) -> None:
    assert runtime.spawn(None).group_leader == services.user.process.pid


async def test_log_events_of_others(
    services: Services, runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    event = (atom.log, atom.error, charlist("It is ~p"), [atom.gone], {atom.pid: runtime.main.pid})
    with caplog.at_level(logging.INFO, "pynode.remote"):
        runtime.send(runtime.main, "logger_proxy", event)
        assert await call(runtime, "logger_proxy", (atom.log, atom.info, b"calm", {})) == atom.ok
    [one, two] = [record for record in caplog.records if record.name == "pynode.remote"]
    assert (one.levelname, two.levelname) == ("ERROR", "INFO")
    assert one.getMessage() == "It is gone"
    assert two.getMessage() == "calm"
