"""What the fuzzers say: terms out of the words of each protocol, and sometimes anything."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Coroutine, Iterable
from typing import Any, Final

from hypothesis import HealthCheck, settings, strategies as st

from pynode.terms import Atom, ExportFun, ImproperList, Pid, Record, Reference, TermMap, atom
from pynode.testing.strategies import terms

PEER_NODE: Final = Atom("evil@host")
OTHER_NODE: Final = Atom("other@host")

#: For a long run: how many examples of each; others than the last time.
_EXAMPLES: Final = os.environ.get("PYNODE_FUZZ_EXAMPLES")

#: Deterministic, and done in a few seconds, unless a long run is wanted.
FUZZ: Final = settings(
    derandomize=_EXAMPLES is None,
    database=None,
    deadline=None,
    max_examples=int(_EXAMPLES or 60),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def nested(levels: int) -> Any:
    """Return a term nested deeper than Python's recursion goes."""
    term: Any = 1
    for _ in range(levels):
        term = (term,)
    return term


#: Terms that have broken something before.
MONSTERS: Final[tuple[Any, ...]] = (
    nested(5000),
    (nested(5000), nested(5000)),
    10**6000,
    -(10**6000),
    Record("m", "n", True, [("f", nested(3000))]),
    TermMap([([1], 1), (nested(3000), 2)]),
    ImproperList([nested(3000)], 1),
    b"\xff" * 5000,
    [[]] * 3000,
    (),
)


class Monster:
    """Stands for one of :data:`MONSTERS`, which hypothesis could not print, until it is sent."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __repr__(self) -> str:
        return f"Monster({self.number})"


def grown(term: Any) -> Any:
    """Return ``term`` with the monsters themselves."""
    if type(term) is Monster:
        return MONSTERS[term.number]
    if type(term) in (tuple, list):
        return type(term)([grown(part) for part in term])
    if type(term) is dict:
        return {key: grown(value) for key, value in term.items()}
    return term


def words_of(text: str) -> list[Any]:
    """Return the atoms of a text of words."""
    return [Atom(word) for word in text.split()]


def vocabulary(
    words: Iterable[Any], pids: Iterable[Pid], extra: Iterable[Any] = ()
) -> st.SearchStrategy[Any]:
    """Return terms built of ``words``, ``pids``, references, small numbers, and monsters.

    They are to be :func:`grown` before they are sent.
    """
    known = list(pids)
    ref = Reference(PEER_NODE, 9, (1, 2, 3))
    leaves = st.one_of(
        st.sampled_from([*words]),
        st.sampled_from([*known, Pid(PEER_NODE, 1, 0, 9), Pid(OTHER_NODE, 1, 0, 9)]),
        st.sampled_from([PEER_NODE, OTHER_NODE, True, False, None, 0, 1, -1, 2**70, 1.5]),
        st.sampled_from([ref, ImproperList([atom.alias], ref), [ImproperList([atom.alias], ref)]]),
        st.sampled_from([b"", b"text", b"\xff", [], (), {}, [104, 105], b"text"]),
        st.sampled_from([ExportFun("m", "f", 1), ExportFun("global", "random_exit_name", 3)]),
        st.sampled_from([*extra, 8, 7, 0]),
    )
    nest = st.recursive(
        leaves,
        lambda parts: st.one_of(
            st.lists(parts, max_size=6).map(tuple),
            st.lists(parts, max_size=4),
            st.tuples(parts, parts),
        ),
        max_leaves=12,
    )
    return st.one_of(
        nest, nest, nest, terms(max_leaves=6), st.integers(0, len(MONSTERS) - 1).map(Monster)
    )


class Faults(logging.Handler):
    """Collects the records that say that something failed."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)  # what cannot be formatted fails here
        if record.exc_info:
            self.records.append(text)

    def __enter__(self) -> Faults:
        logging.getLogger().addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self)


def run(scenario: Coroutine[Any, Any, None]) -> None:
    """Run one example on a loop of its own; what the loop would only log is an error."""

    async def guarded() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: seen.append(context))
        async with asyncio.timeout(30):
            await scenario

    seen: list[Any] = []
    asyncio.run(guarded())
    assert seen == []
