"""Names of groups, and the table of subscriptions."""

from __future__ import annotations

import pytest

from pynode.phoenix.names import groups, module
from pynode.phoenix.registry import Registry
from pynode.terms import Pid, atom, elixir

ONE, TWO = (Pid(atom("a@h"), number, 0, 1) for number in (1, 2))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("MyApp.PubSub", elixir("MyApp.PubSub")),
        ("Elixir.MyApp.PubSub", elixir("MyApp.PubSub")),
        ("my_pubsub", atom.my_pubsub),
        (atom.my_pubsub, atom.my_pubsub),
        (elixir("MyApp.PubSub"), elixir("MyApp.PubSub")),
    ],
)
def test_module(name: object, expected: object) -> None:
    assert module(name) == expected  # type: ignore[arg-type]


def test_no_module() -> None:
    with pytest.raises(TypeError):
        module(b"MyApp.PubSub")  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        module("x" * 256)


@pytest.mark.parametrize(
    ("name", "first"),
    [  # as Module.concat/2 gives it
        (elixir("MyApp.PubSub"), "Elixir.MyApp.PubSub.Adapter"),
        (atom.my_pubsub, "Elixir.my_pubsub.Adapter"),
        (atom("my pubsub"), "Elixir.my pubsub.Adapter"),
    ],
)
def test_groups(name: object, first: str) -> None:
    assert groups(name, 1) == [atom(first)]  # type: ignore[arg-type]
    assert groups(name, 3) == [atom(first), atom(f"{first}_2"), atom(f"{first}_3")]  # type: ignore[arg-type]


def test_registry() -> None:
    registry = Registry()
    assert registry.entries(b"t") == []
    registry.add(b"t", ONE, None)
    registry.add(b"t", TWO, b"two")
    registry.add(b"t", ONE, b"again")
    registry.add(b"u", ONE, None)
    assert registry.entries(b"t") == [(ONE, None), (ONE, b"again"), (TWO, b"two")]
    assert registry.remove(b"t", ONE) is False
    assert registry.remove(b"t", ONE) is False
    assert registry.entries(b"t") == [(TWO, b"two")]
    assert registry.remove(b"u", ONE) is True
    assert registry.pids() == [TWO]
    registry.forget(ONE)
    registry.forget(TWO)
    assert registry.pids() == registry.entries(b"t") == registry.entries(b"u") == []
