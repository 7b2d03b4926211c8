"""Log events of other nodes become records: formatted, bounded, with their metadata."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from pynode.process import Runtime
from pynode.services.logger_proxy import LoggerProxy
from pynode.terms import Atom, ImproperList, Record, atom, charlist
from pynode.terms.size import fits


@pytest.fixture
async def proxy() -> Any:
    runtime = Runtime(Atom("py@test"), 7)
    yield LoggerProxy(runtime)
    await runtime.stop(0)


EVENTS: list[tuple[list[Any], int, str]] = [
    ([atom.error, charlist("It is ~p~n"), [(atom.gone, 1)]], logging.ERROR, "It is {gone,1}\n"),
    ([atom.warning, b"~ts ~s", [b"caf\xc3\xa9", b"x"]], logging.WARNING, "caf\u00e9 x"),
    ([atom.notice, charlist("calm")], logging.INFO, "calm"),
    ([atom.emergency, b"text"], logging.CRITICAL, "text"),
    ([atom.debug, {atom.what: [1, 300], atom.who: charlist("me")}], logging.DEBUG,
     "    what: [1,300]\n    who: me"),
    ([atom.error, [(atom.a, b"b"), (1, 2)]], logging.ERROR, '    a: <<"b">>\n    1: 2'),
    ([atom.error, {atom.label: (atom.x, 1), atom.report: [(atom.k, 1.5)]}], logging.ERROR,
     "    label: {x,1}\n    k: 1.5"),
    ([atom.error, {atom.label: (atom.x, 1), atom.report: [[(atom.k, 1)], []]}], logging.ERROR,
     "    label: {x,1}\n    k: 1"),
    ([atom.error, [[(atom.a, 1)], [(atom.b, [])], 7]], logging.ERROR, "[[{a,1}],[{b,[]}],7]"),
    ([atom.unheard, b"of"], logging.INFO, "of"),
    ([atom.error, b"~p ~p", [atom.x]], logging.ERROR, "~p ~p [atom.x]"),
]  # fmt: skip


@pytest.mark.parametrize(("event", "level", "text"), EVENTS)
async def test_events(
    proxy: LoggerProxy, caplog: pytest.LogCaptureFixture, event: Any, level: int, text: str
) -> None:
    meta = {atom.pid: proxy.process.pid, atom.time: 7, b"odd": 1}
    with caplog.at_level(logging.DEBUG, "pynode.remote"):
        proxy.info((atom.log, *event, meta))
        proxy.info((atom.remote, (atom.log, *event, meta)))
    assert len(caplog.records) == 2
    for record in caplog.records:
        assert (record.levelno, record.getMessage()) == (level, text)
        assert record.__dict__["erlang_level"] == event[0].name
        assert record.__dict__["erlang_meta"] == {"pid": proxy.process.pid, "time": 7}


async def test_what_is_no_event_does_no_harm(
    proxy: LoggerProxy, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "pynode.remote"):
        for message in ((atom.log, 1), atom.log, (atom.log, atom.error), 7, (atom.x, (1, 2))):
            proxy.info(message)
        proxy.info((atom.log, atom.error, ImproperList([1], 2), atom.no_meta))
    assert all(record.levelno <= logging.ERROR for record in caplog.records)
    assert caplog.records[-1].__dict__["erlang_meta"] == {}


async def test_events_are_bounded(proxy: LoggerProxy, caplog: pytest.LogCaptureFixture) -> None:
    deep: Any = []
    for _ in range(9000):
        deep = [deep]
    huge: list[Any] = [
        [b"~p", [list(range(1000)) * 500]], [b"~p", [b"x" * 5_000_000]], [b"~p", [deep]],
        [b"~999999p~999999s", [1, b"x"]], [{atom.k: [300] * 50_000}], [1 << 9_000_000],
    ]  # fmt: skip
    with caplog.at_level(logging.DEBUG, "pynode.remote"):
        for event in huge:
            proxy.info((atom.log, atom.error, *event, {}))
        proxy.info((atom.log, atom.error, b"~P", [[300] * 50_000, 3], {}))
    assert len(caplog.records) == len(huge) + 1
    assert caplog.records.pop().getMessage().startswith("b'~P' [[300, 300")  # not made: too heavy
    assert max(len(record.getMessage()) for record in caplog.records) <= 64 * 1024 + 3


def test_weights() -> None:
    record = Record("m", "r", True, [("f", b"x" * 100)])
    for term in (
        1 << 1000,
        b"x" * 100,
        [1] * 10,
        {1: b"x" * 100},
        ImproperList([1], "y" * 100),
        record,
    ):
        assert fits(term, 500)
        assert not fits([term] * 10, 500)
        assert not fits(term, 60)
