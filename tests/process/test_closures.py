"""Reading a fun that was typed in a shell; what is not one call of a named function is refused."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from pynode.process.closures import Called, ClosureRefused, read_closure
from pynode.process.spawned import Target, meant_by
from pynode.terms import (
    Atom,
    ExportFun,
    ImproperList,
    OpaqueFun,
    Pid,
    TermMap,
    atom,
    elixir,
    identical,
)

M, F = Atom("m"), Atom("f")
LINE = (1, 24)
DEFAULT = Atom("default")
INIT_P = Atom("proc_lib"), Atom("init_p")


def fun(*info: Any, module: str = "erl_eval", arity: int = 0) -> OpaqueFun:
    pid = Pid(Atom("a@b"), 1, 0, 1)
    return OpaqueFun(module, arity, 43, bytes(16), 43, 1, pid, info)


def shell(clauses: Any, bindings: Any = None) -> OpaqueFun:
    handler = (atom.value, ExportFun("elixir", "eval_local_handler", 2))
    return fun((2, {} if bindings is None else bindings, handler, atom.none, {}, clauses))


def clause(*body: Any, patterns: Any = (), guards: Any = ()) -> Any:
    return (atom.clause, LINE, list(patterns), list(guards), list(body))


def call(*args: Any, module: Any = M, function: Any = F) -> Any:
    named = (atom.remote, 2, (atom.atom, 2, module), (atom.atom, 2, function))
    return (atom.call, 2, named, list(args))


def one_call(*args: Any, bindings: Any = None) -> OpaqueFun:
    return shell([clause(call(*args))], bindings)


def string(text: bytes, types: Any = DEFAULT) -> Any:
    return (atom.bin_element, 1, (atom.string, 1, list(text)), DEFAULT, types)


def integer(number: int) -> Any:
    return (atom.integer, LINE, number)


def test_one_call_without_arguments() -> None:
    assert read_closure(one_call()) == Called(M, F, [])
    named = fun((2, [], atom.none, atom.none, {}, [clause(call())], atom.Name))
    assert read_closure(named) == Called(M, F, [])
    elixirs = shell([clause(call(module=elixir("Hello"), function=atom.world))])
    assert read_closure(elixirs) == Called(elixir("Hello"), atom.world, [])


@pytest.mark.parametrize(
    ("code", "value"),
    [
        (integer(7), 7),
        ((atom.char, 1, 97), 97),
        ((atom.float, 1, -0.5), -0.5),
        ((atom.op, 1, Atom("-"), integer(3)), -3),
        ((atom.op, 1, Atom("+"), (atom.float, 1, 3.0)), 3.0),
        ((atom.atom, 1, atom.x), atom.x),
        ((atom.atom, 1, None), None),
        ((atom.atom, 1, True), True),
        ((None, 1), []),
        ((atom.string, 1, [97, 955]), [97, 955]),
        ((atom.cons, 1, integer(1), (atom.cons, 1, integer(2), (None, 1))), [1, 2]),
        ((atom.cons, 1, integer(1), (atom.string, 1, [97])), [1, 97]),
        ((atom.cons, 1, integer(1), integer(2)), ImproperList([1], 2)),
        ((atom.tuple, 1, [integer(1), (atom.tuple, 1, [])]), (1, ())),
        ((atom.map, 1, []), {}),
        (
            (atom.map, 1, [(atom.map_field_assoc, 1, (atom.atom, 1, atom.a), integer(1))]),
            {atom.a: 1},
        ),
        (
            (
                atom.map,
                1,
                [
                    (atom.map_field_assoc, 1, integer(1), integer(2)),
                    (atom.map_field_assoc, 1, (atom.float, 1, 1.0), integer(3)),
                ],
            ),
            TermMap([(1, 2), (1.0, 3)]),
        ),
        ((atom.bin, 1, []), b""),
        ((atom.bin, 1, [string(b"abc"), string(b"d")]), b"abcd"),
        (
            (
                atom.bin,
                1,
                [(atom.bin_element, 1, (atom.string, 1, [955]), DEFAULT, [atom.utf8])],
            ),
            "λ".encode(),
        ),
        (
            (
                atom.bin,
                1,
                [
                    (atom.bin_element, 1, integer(257), DEFAULT, [atom.integer]),
                    (atom.bin_element, 1, integer(955), DEFAULT, [atom.utf8]),
                    (atom.bin_element, 1, (atom.var, 1, atom.X), DEFAULT, [atom.binary]),
                ],
            ),
            b"\x01" + "λ".encode() + b"bound",
        ),
        ((atom.var, 1, atom.X), b"bound"),
        ((atom.value, 1, (1, b"x")), (1, b"x")),
        (
            (atom.fun, 1, (atom.function, (atom.atom, 1, M), (atom.atom, 1, F), integer(2))),
            ExportFun("m", "f", 2),
        ),
    ],
)
@pytest.mark.parametrize("bindings", [{atom.X: b"bound"}, [(atom.X, b"bound")]])
def test_literals(code: Any, value: Any, bindings: Any) -> None:
    found = read_closure(one_call(code, bindings=bindings))
    assert identical(found.args, [value])


@pytest.mark.parametrize(
    ("closure", "why"),
    [
        (fun(module="elixir_compiler_0"), "a closure of elixir_compiler_0 is code of the node"),
        (fun(), "not of a form that is known"),
        (fun(1), "not of a form that is known"),
        (fun((1, 2, 3)), "not of a form that is known"),
        (fun(1, 2), "not of a form that is known"),
        (shell(atom.x), "one clause"),
        (shell([]), "one clause"),
        (shell([clause(call()), clause(call())]), "one clause"),
        (shell([clause(call(), patterns=[1])]), "one clause"),
        (shell([clause(call(), guards=[[1]])]), "one clause"),
        (shell([clause(call(), call())]), "more than one call"),
        (shell([clause(integer(1))]), "not one call of a function of a module"),
        (shell([clause((atom.call, 1, (atom.atom, 1, F), []))]), "not one call"),
        (shell([clause((atom.call, 1, (atom.remote, 1, M, F), []))]), "not written out"),
        (shell([clause((*call()[:3], ImproperList([1], 2)))]), "not one call"),
        (shell([clause(call(module=b"m"))]), "not what it says"),
        (one_call(call()), "not a literal, but has a call"),
        (one_call((atom.var, 1, atom.X)), "a variable without a value"),
        (one_call((atom.var, 1, [])), "a variable without a value"),
        (one_call((atom.op, 1, Atom("+"), integer(1), integer(1))), "has a op"),
        (one_call((atom.op, 1, Atom("not"), (atom.atom, 1, True))), "computed"),
        (one_call((atom.op, 1, Atom("-"), (atom.atom, 1, True))), "computed"),
        (one_call((atom.integer, 1, b"1")), "not what it says"),
        (one_call((atom.integer, 1, True)), "not what it says"),
        (one_call((atom.float, 1, 1)), "not what it says"),
        (one_call((atom.atom, 1, b"x")), "not what it says"),
        (one_call((atom.string, 1, [b"x"])), "not what it says"),
        (one_call((atom.tuple, 1, 1)), "not of a form"),
        (one_call((atom.map, 1, 1)), "not of a form"),
        (one_call((atom.map, 1, [1])), "computed"),
        (one_call((atom.map, 1, integer(1), [])), "has a map"),
        (one_call((atom.bin, 1, 1)), "not of a form"),
        (one_call((atom.bin, 1, [1])), "not of a form"),
        (one_call((atom.bin, 1, [(*string(b"x")[:3], integer(4), DEFAULT)])), "with sizes"),
        (one_call((atom.bin, 1, [string(b"x", [atom.float])])), "with types"),
        (one_call((atom.bin, 1, [string(b"x", [atom.utf8, atom.little])])), "with types"),
        (
            one_call(
                (atom.bin, 1, [(atom.bin_element, 1, integer(1 << 40), DEFAULT, [atom.utf8])])
            ),
            "not what it says",
        ),
        (
            one_call((atom.bin, 1, [(atom.bin_element, 1, integer(0xD800), DEFAULT, [atom.utf8])])),
            "not what it says",
        ),
        (one_call((atom.fun, 1, (atom.clauses, []))), "a closure"),
        (
            one_call((atom.fun, 1, (atom.function, integer(1), (atom.atom, 1, F), integer(0)))),
            "not what it says",
        ),
        (one_call(1), "not of a form"),
        (one_call(()), "not of a form"),
        (one_call((b"x", 1)), "not of a form"),
        (one_call(*([(None, 1)] * 20_000)), "too long"),
    ],
)
def test_what_is_refused(closure: OpaqueFun, why: str) -> None:
    with pytest.raises(ClosureRefused) as refused:
        read_closure(closure)
    assert why.encode() in refused.value.text
    assert b"&Mod.fun/arity" in refused.value.text


def test_what_is_deep_or_long() -> None:
    deep: Any = integer(1)
    for _ in range(5000):
        deep = (atom.tuple, 1, [deep])
    with pytest.raises(ClosureRefused, match="too deep"):
        read_closure(one_call(deep))
    chain: Any = (None, 1)
    for _ in range(5000):
        chain = (atom.cons, 1, integer(1), chain)
    assert read_closure(one_call(chain)).args == [[1] * 5000]
    doubled = (atom.bin, 1, [string(b"x" * 600_000), string(b"x" * 600_000)])
    with pytest.raises(ClosureRefused, match="too long"):
        read_closure(one_call(doubled))


def test_a_variable_that_stands_for_much() -> None:
    """Once it is an argument as any other; often, it would be more than was sent."""
    much: Any = [[1, 2]] * 20_000
    bound = {atom.X: much, atom.Y: 3}
    variable, short = (atom.var, 1, atom.X), (atom.var, 1, atom.Y)
    assert read_closure(one_call(variable, bindings=bound)).args == [much]
    assert read_closure(one_call(*[short] * 1000, bindings=bound)).args == [3] * 1000
    for body in ([variable] * 3, [(atom.map, 1, [(atom.map_field_assoc, 1, variable, short)] * 3)]):
        with pytest.raises(ClosureRefused, match="too long"):
            read_closure(one_call(*body, bindings=bound))


def test_a_closure_that_applies_another() -> None:
    """Each copies what is in it: many of them would take for ever."""
    inner = one_call(integer(1))
    variable, none = (atom.var, 1, atom.X), (None, 1)
    body = call(variable, none, module=Atom("erlang"), function=Atom("apply"))
    outer = shell([clause(body)], {atom.X: inner})
    apply = Atom("erlang"), Atom("apply")
    assert meant_by(Target(*apply, [inner, []])).args == [1]
    for target in (Target(*apply, [outer, []]), Target(*INIT_P, [M, [], outer])):
        reason = meant_by(target).reason
        assert reason[0][0] == atom.closure_refused
        assert b"applies a closure" in reason[0][1]


GOOD: list[Any] = [
    (atom.tuple, 1, [integer(1), (atom.var, 1, atom.X)]),
    (atom.map, 1, [(atom.map_field_assoc, 1, (atom.atom, 1, atom.a), integer(1))]),
    (atom.bin, 1, [string(b"abc", [atom.utf8])]),
    (atom.cons, 1, (atom.op, 1, Atom("-"), integer(3)), (None, 1)),
    (atom.fun, 1, (atom.function, (atom.atom, 1, M), (atom.atom, 1, F), integer(2))),
]


def parts(value: Any, at: tuple[int, ...] = ()) -> list[tuple[int, ...]]:
    found = [at]
    if isinstance(value, tuple | list):
        for index, part in enumerate(value):
            found += parts(part, (*at, index))
    return found


def changed(value: Any, at: tuple[int, ...], new: Any) -> Any:
    if not at:
        return new
    copied = list(value)
    copied[at[0]] = changed(copied[at[0]], at[1:], new)
    return type(value)(copied)


FOREIGN: list[Any] = [
    -1, 1 << 70, 0.5, True, None, b"x", [], (), {}, [b"x"], [1 << 70], (1,), (1, 2, 3),
    ImproperList([1], 2), M, atom.atom, atom.call, atom.bin, atom.value, atom.default,
    (atom.clause, 1, [], [], []), {atom.a: 1}, ExportFun("m", "f", 0), TermMap([([], [])]),
    Pid(M, 1, 0, 1), (None, 1), *GOOD, fun(1),
]  # fmt: skip


@settings(max_examples=1000, deadline=None)
@given(st.randoms(use_true_random=False))
def test_any_change_of_the_code_is_read_or_refused(random: Random) -> None:
    clauses: Any = [clause(call(*GOOD))]
    info: Any = (1, [(atom.X, 1)], atom.none, atom.none, {}, clauses)
    for _ in range(random.randint(1, 4)):
        info = changed(info, random.choice(parts(info)), random.choice(FOREIGN))
    try:
        found = read_closure(fun(info))
    except ClosureRefused:
        return
    assert type(found.args) is list
