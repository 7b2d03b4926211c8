from __future__ import annotations

from typing import Any

import pytest

from pynode.process.mailbox import NOTHING, Mailbox, Receiver
from pynode.process.runtime import Runtime


def box(*messages: Any) -> Mailbox:
    mailbox = Mailbox()
    mailbox.extend(messages)
    return mailbox


def is_(wanted: Any) -> Any:
    return lambda message: message == wanted


def test_takes_in_order() -> None:
    mailbox = box(1, 2, 3)
    assert [mailbox.find(None) for _ in range(4)] == [1, 2, 3, NOTHING]
    assert not mailbox
    assert repr(NOTHING) == "NOTHING"


def test_selective_leaves_the_others_in_order() -> None:
    mailbox = box(1, 2, 3, 4)
    assert mailbox.find(is_(3)) == 3
    assert mailbox.messages() == [1, 2, 4]
    assert mailbox.total() == 3
    assert mailbox.find(is_(2)) == 2
    assert mailbox.find(is_(9)) is NOTHING
    assert [mailbox.take() for _ in range(2)] == [1, 4]


def test_none_and_false_are_messages() -> None:
    assert [box(None).find(None), box(False).find(lambda _: True)] == [None, False]


def test_text_for_match_and_result() -> None:
    assert box(b"a", b"b").find(is_("b"), text=True) == "b"
    assert box(b"a").find(None, text=True) == "a"
    mailbox = box(b"a", b"b")
    mailbox.find(is_(9))
    assert mailbox.find(is_("b"), text=True) == "b"
    assert mailbox.messages() == [b"a"]


def test_what_match_raises_leaves_everything() -> None:
    mailbox = box(1, 2, 3)
    mailbox.find(lambda message: message == 2)

    def fails(message: Any) -> bool:
        if message == 3:
            raise KeyError(message)
        return False

    with pytest.raises(KeyError):
        mailbox.find(fails)
    assert mailbox.messages() == [1, 3]
    assert not mailbox.scanning


def test_a_match_that_adds_messages_sees_them_too() -> None:
    mailbox = box(1)

    def match(message: Any) -> bool:
        if message == 1:
            mailbox.append(2)
            mailbox.push_priority(0, None)
        seen.append(message)
        return False

    seen: list[Any] = []
    assert mailbox.find(match) is NOTHING
    assert seen == [1, 0, 2]


async def test_a_receiver_looks_at_new_messages_only(runtime: Runtime) -> None:
    receiver = Receiver(runtime.scheduler)
    mailbox = box(*range(100))
    seen: list[Any] = []

    def match(message: Any) -> bool:
        seen.append(message)
        return bool(message == "wanted")

    assert mailbox.find(match, [receiver], receiver) is NOTHING
    mailbox.append("other")
    assert mailbox.find(match, [receiver], receiver) is NOTHING
    mailbox.append("wanted")
    assert mailbox.find(match, [receiver], receiver) == "wanted"
    assert seen == [*range(100), "other", "wanted"]


async def test_taking_moves_the_places_of_other_receivers(runtime: Runtime) -> None:
    one, two = Receiver(runtime.scheduler), Receiver(runtime.scheduler)
    both = [one, two]
    mailbox = box(1, 2, 3)
    assert mailbox.find(is_("x"), both, one) is NOTHING
    assert mailbox.find(is_("x"), both, two) is NOTHING
    assert mailbox.find(is_(1), both) == 1
    assert mailbox.take(both) == 2
    mailbox.append("x")
    mailbox.append("y")
    assert mailbox.find(is_("y"), both, one) == "y"  # "x" is seen by one, and saved
    assert mailbox.find(is_("x"), both, two) == "x"
    assert mailbox.messages() == [3]


async def test_priority_messages_come_first_in_their_own_order(runtime: Runtime) -> None:
    receiver = Receiver(runtime.scheduler)
    mailbox = box(1, 2)
    assert mailbox.find(is_("urgent 2"), [receiver], receiver) is NOTHING
    for message in ("urgent 1", "urgent 2"):
        mailbox.push_priority(message, [receiver])
    mailbox.append(3)
    assert mailbox.messages() == ["urgent 1", "urgent 2", 1, 2, 3]
    assert mailbox.find(is_("urgent 2"), [receiver], receiver) == "urgent 2"
    mailbox.push_priority("urgent 3", [receiver])
    assert [mailbox.take() for _ in range(5)] == ["urgent 1", "urgent 3", 1, 2, 3]


def test_priority_into_an_empty_mailbox() -> None:
    mailbox = Mailbox()
    mailbox.push_priority(1, None)
    assert mailbox
    assert mailbox.take() == 1


def test_drop_removes_one_wherever_it_is() -> None:
    mailbox = box(1, 2, 1)
    mailbox.find(is_(9))
    mailbox.extend([3, 4])
    mailbox.drop(is_(1))
    mailbox.drop(is_(4))
    mailbox.drop(is_(9))
    assert mailbox.messages() == [2, 1, 3]


def test_selective_receive_of_the_oldest_is_linear() -> None:
    matches = 0
    mailbox = box(*range(20_000))
    mailbox.find(lambda _: False)

    def count(message: Any) -> bool:
        nonlocal matches
        matches += 1
        return True

    for wanted in range(20_000):
        assert mailbox.find(count) == wanted
    assert matches == 20_000
