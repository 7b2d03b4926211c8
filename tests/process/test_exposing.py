"""What a program exposes: which callables of a thing, by which name and arity, and how they run."""

from __future__ import annotations

import asyncio
import functools
import threading
import time
import types
from typing import Any

import pytest

from pynode.config import Limits
from pynode.dist import control as c
from pynode.errors import Exit, RemoteError
from pynode.policy import ALLOW, Action, Decision, Deny
from pynode.process import Runtime, record_limit
from pynode.process.blocking import Threads
from pynode.process.current import self_
from pynode.process.resolver import Exports, Resolver, functions_of
from pynode.terms import Atom, ExportFun, OpaqueFun, Pid, atom, elixir
from tests.process.conftest import MakeRuntime
from tests.process.test_closures import call, clause, shell
from tests.process.test_inbound import IN, LEADER, PEER, REF, THERE, control
from tests.process.wire import Recorder, until

M, F = Atom("m"), Atom("f")


class Hello:
    """A thing with methods."""

    kind = str
    limit = 3

    def __init__(self) -> None:
        self.hidden = len

    def world(self) -> str:
        return "hello"

    async def later(self, one: Any, two: Any = 2) -> None: ...

    @staticmethod
    def fixed(one: Any) -> None: ...

    @classmethod
    def made(cls) -> None: ...

    @property
    def dangerous(self) -> Any:
        raise AssertionError("looked at")

    def _private(self) -> None: ...


def module(source: str) -> types.ModuleType:
    made = types.ModuleType("made_up")
    exec(source, made.__dict__)
    return made


def exposed(resolver: Resolver, name: str, arities: range = range(4)) -> list[int]:
    return [n for n in arities if resolver.resolve(M, Atom(name), n) is not None]


# --------------------------------------------------------------------------- what is found


def test_the_methods_of_an_object() -> None:
    assert sorted(map(str, functions_of(Hello()))) == ["fixed", "later", "made", "world"]
    resolver = Resolver()
    resolver.add("m", Hello())
    found = {name: exposed(resolver, name) for name in ("world", "later", "fixed", "made")}
    assert found == {"world": [0], "later": [1, 2], "fixed": [1], "made": [0]}
    blocking = {}
    for name, arity in (("world", 0), ("later", 1), ("fixed", 1)):
        entry = resolver.entry(M, Atom(name), arity)
        assert entry is not None
        blocking[name] = entry.blocking
    assert blocking == {"world": True, "later": False, "fixed": True}


def test_entries_of_a_dict() -> None:
    resolver = Resolver()

    async def later(*args: Any) -> None: ...

    entries: dict[Any, Any] = {
        "plain": lambda a: a,
        "short": {"fun": lambda a, b=1: a},
        "now": {"fun": time.time, "arity": 0, "blocking": False},
        "later": {"fun": later, "arity": [1, 2], "text": True},
    }
    resolver.add("m", entries, blocking=True)
    found = {(str(name), arity) for _, name, arity in resolver.exported()}
    assert found == {
        ("plain", 1),
        ("short", 1),
        ("short", 2),
        ("now", 0),
        ("later", 1),
        ("later", 2),
    }
    options = {name: resolver.entry(M, Atom(name), arity) for name, arity in found}
    assert [options[name].blocking for name in ("plain", "now", "later")] == [True, False, True]  # type: ignore[union-attr]
    assert options["later"].text  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("entries", "error", "words"),
    [
        ({"most": max}, ValueError, "'most': .*say how many arguments it has"),
        ({"most": {"fun": max}}, ValueError, "'most': .*say how many arguments it has"),
        ({"f": 5}, TypeError, "'f' is 5: an entry is a function, or {'fun'"),
        ({"f": (len, 1)}, TypeError, "an entry is a function, or {'fun'"),
        ({"f": {"fun": 5}}, TypeError, "'f': 'fun' is 5"),
        ({"f": {}}, TypeError, "'f': 'fun' is None"),
        (
            {"f": {"fun": len, "arty": 1}},
            TypeError,
            "'f': .* fun, arity, blocking, text, and not 'arty'",
        ),
        ({"f": {"fun": len, "arity": "1"}}, TypeError, "arity is an int or several"),
        ({"f": {"fun": len, "arity": 300}}, ValueError, "'f': .*255"),
        ({"f": lambda *, key: key}, ValueError, "'f': .*demands key by keyword"),
        ({"f/1": len}, TypeError, "a name has no arity in it"),
        ({("f", 1): len}, TypeError, "a name is an atom or a str"),
        ({}, TypeError, "no function to expose"),
    ],
)
def test_entries_that_are_none(entries: Any, error: type[Exception], words: str) -> None:
    resolver = Resolver()
    good = {"good": lambda: 1} if entries else {}
    with pytest.raises(error, match=words):
        resolver.add("m", good | entries)
    assert resolver.exported() == []


def test_the_functions_of_a_module() -> None:
    plain = module("from os import system\nimport os\ndef one(): ...\ndef _two(): ...\nthree = 3")
    assert list(functions_of(plain)) == ["one"]
    listed = module("__all__ = ['system', 'C', 'x']\nfrom os import system\nclass C: ...\nx = 1")
    assert list(functions_of(listed)) == ["system"]


def test_the_values_of_a_mapping() -> None:
    resolver = Resolver()
    resolver.add(elixir("Hello"), {"ok?": lambda: True, atom.go: lambda x: x})
    assert resolver.resolve(elixir("Hello"), Atom("ok?"), 0) is not None
    assert resolver.resolve(elixir("Hello"), atom.go, 1) is not None


@pytest.mark.parametrize(
    "target", [Hello, {"x": 1}, {}, object(), 3, None, "os", b"os", types.ModuleType("x")]
)
def test_nothing_to_expose(target: Any) -> None:
    with pytest.raises(TypeError):
        Resolver().add("m", target)


def test_one_function() -> None:
    resolver = Resolver()

    def f(one: Any, *rest: Any, option: Any = 1) -> None: ...
    def keyword(*, needed: Any) -> None: ...

    resolver.add("m", f)
    assert exposed(resolver, "f") == [1, 2, 3]
    resolver.add("m", f, name="only", arity=2)
    assert exposed(resolver, "only") == [2]
    resolver.add("m", functools.partial(f, 1), name="partial", arity=[0, 1])
    assert exposed(resolver, "partial") == [0, 1]
    with pytest.raises(ValueError, match="by keyword"):
        resolver.add("m", keyword)
    with pytest.raises(ValueError, match="by keyword"):
        resolver.add("m", {"good": f, "keyword": keyword})
    assert exposed(resolver, "good") == []
    with pytest.raises(TypeError, match="name and arity"):
        resolver.add("m", Hello(), arity=1)
    with pytest.raises(ValueError, match="no name"):
        resolver.expose(functools.partial(f), module="m")


def test_what_is_taken_back_and_what_is_built_in() -> None:
    resolver = Resolver()
    resolver.build_in("m", "f", 0, len)
    resolver.add("m", {"f": lambda: 1, "g": lambda *args: 1})
    assert resolver.resolve(M, F, 0) is not len
    resolver.withdraw("m", "g")
    assert exposed(resolver, "g") == []
    resolver.withdraw("m")
    assert resolver.resolve(M, F, 0) is len


async def test_coroutine_functions_of_every_kind_run_on_the_loop() -> None:
    class Called:
        async def __call__(self) -> None: ...

    async def f() -> None: ...

    resolver = Resolver()
    for target in (f, functools.partial(f), Called(), Called().__call__):
        resolver.add("m", target, name="f")
        entry = resolver.entry(M, F, 0)
        assert entry is not None
        assert not entry.blocking


def test_exports() -> None:
    exports = Exports(elixir("Hello"))

    @exports.export
    def world() -> None: ...

    @exports.export(name="add!", arity=2, blocking=False, text=True)
    def add(*numbers: Any) -> None: ...

    resolver = Resolver()
    resolver.add_exports(exports)
    assert resolver.resolve(elixir("Hello"), atom.world, 0) is world
    entry = resolver.entry(elixir("Hello"), Atom("add!"), 2)
    assert entry is not None
    assert entry == (add, False, True)
    assert resolver.entry(elixir("Hello"), Atom("add!"), 1) is None
    assert repr(exports) == "<Exports Elixir.Hello: 2 functions>"
    with pytest.raises(ValueError, match="by keyword"):

        @exports.export
        def keyword(*, needed: Any) -> None: ...


# --------------------------------------------------------------------------- how it runs


async def ask(runtime: Runtime, out: Recorder, mfa: Any, args: Any, *options: Any) -> Any:
    control(runtime, c.SpawnRequest(REF, THERE, LEADER, mfa, list(options)), args)
    [reply] = [each for each in out.take() if isinstance(each, c.SpawnReply)]
    return reply


async def reason(runtime: Runtime, out: Recorder, mfa: Any, args: Any) -> Any:
    """Return what a process ends with."""
    runtime.peer_up(PEER)
    reply = await ask(runtime, out, mfa, args, atom.monitor)
    await until(lambda: runtime.local(reply.result) is None)
    [term] = [each.term for each in out.sent if isinstance(each.message, c.MonitorExit)]
    out.take()
    return term


async def test_threads_are_limited(make_runtime: MakeRuntime) -> None:
    runtime = make_runtime(limits=Limits(threads=2))
    out = Recorder()
    runtime.attach(out)
    doors = [threading.Event() for _ in range(4)]
    inside: list[int] = []

    def wait(number: int) -> None:
        inside.append(number)
        doors[number].wait(20)

    runtime.resolver.add("m", wait, name="f")
    pids = [(await ask(runtime, out, (M, F, 1), [n])).result for n in range(4)]
    await until(lambda: sorted(inside) == [0, 1])
    # One that is killed while it waits gives its place up; one in its thread keeps the thread.
    runtime.exit(runtime.main, pids[2], atom.kill)
    runtime.exit(runtime.main, pids[0], atom.kill)
    await until(lambda: runtime.spawning.count == 2)
    assert runtime.threads.count == 2
    doors[0].set()
    await until(lambda: len(inside) == 3)
    assert inside[2] == 3
    for door in doors:
        door.set()
    await until(lambda: runtime.threads.count == 0)
    assert runtime.spawning.count == 0


async def test_processes_are_limited(make_runtime: MakeRuntime) -> None:
    runtime = make_runtime(limits=Limits(spawned_processes=2))
    out = Recorder()
    runtime.attach(out)

    async def wait() -> None:
        await asyncio.get_running_loop().create_future()

    runtime.resolver.add("m", wait, name="f")
    first, _ = [(await ask(runtime, out, (M, F, 0), [])).result for _ in range(2)]
    refused = c.SpawnReply(REF, THERE, 0, atom.system_limit)
    assert await ask(runtime, out, (M, F, 0), []) == refused
    runtime.exit(runtime.main, first, atom.kill)
    assert type((await ask(runtime, out, (M, F, 0), [])).result) is Pid


async def test_an_exit_is_no_news_and_a_crash_is(
    runtime: Runtime, out: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    def leave(why: Any) -> None:
        raise Exit(why)

    def fail() -> None:
        raise ValueError("text")

    def thrown(kind: bytes) -> None:
        raise RemoteError(kind.decode(), atom.what)

    runtime.resolver.add(elixir("Hello"), {"leave": leave, "fail": fail, "thrown": thrown})
    hello = elixir("Hello")
    for why in (atom.kill, (atom.a, 1), atom.normal, atom.shutdown):
        assert await reason(runtime, out, (hello, atom.leave, 1), [why]) == why
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
    (kind, name, text), stack = await reason(runtime, out, (hello, atom.fail, 0), [])
    assert (kind, name, text) == (atom.python_error, atom.ValueError, b"text")
    assert [frame[1].name.rpartition(".")[2] for frame in stack] == ["fail"]
    [record] = caplog.records
    assert "crashed in Hello.fail/0: ValueError" in record.getMessage()
    caplog.clear()
    why, stack = await reason(runtime, out, (hello, atom.thrown, 1), [b"throw"])
    assert why == (atom.nocatch, atom.what)
    assert stack[-1][1].name.endswith("thrown")
    assert (await reason(runtime, out, (hello, atom.thrown, 1), [b"error"]))[0] == atom.what
    assert await reason(runtime, out, (hello, atom.thrown, 1), [b"exit"]) == atom.what


async def test_a_reason_that_is_no_term(
    runtime: Runtime, out: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    def leave() -> None:
        raise Exit(object())

    runtime.resolver.add("m", leave, name="f")
    (kind, name, _), _ = await reason(runtime, out, (M, F, 0), [])
    assert (kind, name) == (atom.python_error, atom.EncodeError)
    assert "crashed in m:f/0" in caplog.text


async def test_processes_of_proc_lib_tell_of_exits(
    runtime: Runtime, out: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    def leave() -> None:
        raise Exit(atom.bye)

    runtime.resolver.add("m", leave, name="f")
    init_p = (Atom("proc_lib"), Atom("init_p"))
    for args in ([THERE, [], M, F, []], [THERE, [], ExportFun("m", "f", 0)]):
        assert await reason(runtime, out, (*init_p, len(args)), args) == atom.bye
        [record] = caplog.records
        assert "crashed in m:f/0: exit atom.bye" in record.getMessage()
        caplog.clear()


async def test_a_crash_is_told_to_the_node_of_the_group_leader(
    runtime: Runtime, out: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    runtime.peer_up(PEER)
    reply = await ask(runtime, out, (M, F, 0), [])
    await until(lambda: runtime.local(reply.result) is None)
    [(message, (word, level, form, args, meta))] = out.take()
    assert message.name == Atom("logger_proxy")
    assert (word, level) == (atom.log, atom.error)
    assert bytes(form).startswith(b"Error in process ~p on node ~p")
    assert args == [reply.result, runtime.node_name, (atom.undef, [(M, F, [], [])])]
    assert meta[atom.gl] == LEADER
    # Not where the leader is nowhere, nor where it is here.
    runtime.peer_down(PEER.name, PEER, atom.bye)
    reply = await ask(runtime, out, (M, F, 0), [])
    await until(lambda: runtime.local(reply.result) is None)
    assert out.take() == []


async def test_a_fun_of_a_shell(runtime: Runtime, out: Recorder) -> None:
    ran: list[Any] = []
    runtime.resolver.add("m", lambda x: ran.append((x, self_())), name="f")
    apply = (Atom("erlang"), Atom("apply"), 2)
    closure = shell([clause(call((atom.integer, 1, 7)))])
    reply = await ask(runtime, out, apply, [closure, []])
    await until(lambda: ran)
    assert ran == [(7, reply.result)]
    # What is not exposed does not run, whatever the fun says.
    other = shell([clause(call(module=atom.os, function=atom.system))])
    assert await reason(runtime, out, apply, [other, []]) == (
        atom.undef,
        [(atom.os, atom.system, [], [])],
    )
    wrong = OpaqueFun("erl_eval", 1, 1, bytes(16), 1, 1, THERE, ())
    why: Any = (atom.badarity, (wrong, []))
    assert (await reason(runtime, out, apply, [wrong, []]))[0] == why


async def test_policy_is_asked_about_what_a_fun_calls(
    make_runtime: MakeRuntime, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[Any] = []

    def policy(peer: Any, action: Action, target: Any) -> Decision:
        asked.append(target)
        return Deny("no") if target[:2] == (M, F) else ALLOW

    runtime = make_runtime(policy=policy)
    out = Recorder()
    runtime.attach(out)
    refused = c.SpawnReply(REF, THERE, 0, atom.notsup)
    apply = (Atom("erlang"), Atom("apply"))
    erpc = (Atom("erpc"), Atom("execute_call"), 4)
    for mfa, args in (
        ((*apply, 2), [shell([clause(call())]), []]),
        ((*apply, 2), [ExportFun("m", "f", 0), []]),
        ((*apply, 3), [M, F, []]),
        (erpc, [REF, *apply, [M, F, []]]),
        (erpc, [REF, *erpc[:2], [REF, M, F, []]]),
        ((Atom("proc_lib"), Atom("init_p"), 3), [THERE, [], ExportFun("m", "f", 0)]),
    ):
        asked.clear()
        assert await ask(runtime, out, mfa, args) == refused
        assert asked == [mfa, (M, F, 0)]


async def test_link_and_monitor_of_a_request_that_is_refused_are_not_made(
    runtime: Runtime, out: Recorder
) -> None:
    reply = await ask(runtime, out, (M, F, 0), [], atom.link, atom.monitor, atom.zz)
    assert reply == c.SpawnReply(REF, THERE, 0, atom.badopt)
    assert runtime.processes() == [runtime.main]
    assert runtime.main.watchers is None


async def test_reply_then_exit_then_down_of_a_thread(runtime: Runtime, out: Recorder) -> None:
    def leave() -> None:
        raise Exit(atom.bye)

    runtime.resolver.add("m", leave, name="f")
    reply = await ask(runtime, out, (M, F, 0), [], atom.link, atom.monitor)
    assert reply.flags == 3
    await until(lambda: len(out.sent) == 2)
    assert [type(each.message) for each in out.sent] == [c.Exit, c.MonitorExit]
    assert out.sent[0].message == c.Exit(reply.result, THERE, IN)


async def test_whose_turn_it_is_when_one_that_was_woken_goes(runtime: Runtime) -> None:
    threads = Threads(runtime.scheduler, 1)
    first, second, third = (runtime.spawn(None) for _ in range(3))
    await threads.give_worker(first)
    waiting = [asyncio.ensure_future(threads.give_worker(each)) for each in (second, third)]
    await asyncio.sleep(0)
    threads._ended()  # wakes the second, which is cancelled before it comes to anything
    waiting[0].cancel()
    await asyncio.wait_for(waiting[1], 10)
    assert (threads.count, third.extra.worker is not None) == (1, True)
    assert waiting[0].cancelled()
    for each in (first, third):
        runtime.exit(runtime.main, each.pid, atom.kill)
    await until(lambda: threads.count == -1)


async def test_what_stands_for_a_name_is_shortened_in_the_log(
    runtime: Runtime, out: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    apply = (Atom("erlang"), Atom("apply"), 3)
    why, _ = await reason(runtime, out, apply, [b"x" * 1_000_000, [1] * 100_000, []])
    assert why == atom.badarg
    [record] = caplog.records
    assert len(record.getMessage()) < 10_000
    nil = await reason(runtime, out, (None, True, 0), [])
    assert nil == (atom.undef, [(None, True, [], [])])
    assert "crashed in nil:true/0" in caplog.records[-1].getMessage()


async def test_another_number_of_arguments_is_told(
    runtime: Runtime, out: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    def f(*args: Any) -> None:
        pass

    info = Atom("error_info")
    cause = Atom("cause")
    for arity, asked, text in (
        (1, 0, "it is here with 1 argument"),
        (2, 1, "it is here with 2 arguments"),
        ((0, 2), 1, "it is here with 0 or 2 arguments"),
        ((4, 0, 2), 1, "it is here with 0, 2 or 4 arguments"),
    ):
        runtime.resolver.withdraw("m")
        runtime.resolver.expose(f, module="m", arity=arity)
        args = list(range(asked))
        found = await reason(runtime, out, (M, F, asked), args)
        assert found == (Atom("undef"), [(M, F, args, [(info, {cause: text.encode()})])])
        assert caplog.records[-1].getMessage().endswith(f"; {text}")
    runtime.resolver.expose(lambda a, b, *c: None, module="m", name="g")
    assert runtime.resolver.other_arities(M, Atom("g")) == "it is here with 2 or more arguments"
    assert runtime.resolver.other_arities(M, Atom("h")) == ""
    assert runtime.resolver.undef(M, Atom("h"), [1]) == ([(M, Atom("h"), [1], [])], "")


async def test_records_of_failed_spawns_are_limited(
    runtime: Runtime,
    out: Recorder,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr(record_limit, "monotonic", lambda: now)
    runtime.resolver.expose(lambda: 1 / 0, module="m", name="f")
    for _ in range(30):
        await reason(runtime, out, (M, F, 0), [])
        await reason(runtime, out, (M, Atom("nothing"), 0), [])
    assert len(caplog.records) == record_limit.MOST
    caplog.clear()
    now += record_limit.PERIOD
    await reason(runtime, out, (M, F, 0), [])
    told, crash = (record.getMessage() for record in caplog.records)
    assert told.startswith(f"{60 - record_limit.MOST} more records of processes that other nodes")
    assert "crashed in m:" in crash
