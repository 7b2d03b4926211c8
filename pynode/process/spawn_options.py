"""The options of a spawn: what a BEAM accepts of a peer, and what stays with the one who asks.

Of a peer's request ``link`` and ``monitor`` have an effect here; what concerns a BEAM's heap and
scheduler is checked as a BEAM checks it, and means nothing.  An option that it would refuse is
``badopt``.  Where releases differ, the newest is followed: ``{link, Options}`` and ``priority``
among those options are OTP 28's, ``async_dist`` is OTP 25.3's.

Of a request of ours, ``{reply_tag, Tag}``, ``{reply, When}`` and the options of a monitor stay
at home; the rest goes out as it is, for the other node to judge.

Source: ``erlang:spawn_opt/5``, ``spawn_request/5``; what OTP 25, 27 and 29 answer to each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from pynode.process.monitors import ALIAS_MODES
from pynode.process.words import DOWN, SPAWN_REPLY
from pynode.terms import Atom, TermMap

__all__ = ["LINKED", "MONITORED", "SpawnOptions", "own_options", "wanted"]

LINKED: Final = 1
MONITORED: Final = 2

_LINK: Final = Atom("link")
_MONITOR: Final = Atom("monitor")
_TAG: Final = Atom("tag")
_ALIAS: Final = Atom("alias")
_PRIORITY: Final = Atom("priority")
_REPLY: Final = Atom("reply")
_REPLY_TAG: Final = Atom("reply_tag")
_SIZE: Final = Atom("size")

#: A process's least heap, in words: a most that is less than it is refused.
_LEAST_HEAP: Final = 233
_MOST: Final = 1 << 59
_REPLIES: Final = ("yes", "no", "error_only", "success_only")


# --------------------------------------------------------------------------- asked by a peer


def wanted(options: Iterable[Any]) -> int | None:
    """Return which of link and monitor a peer asks for; None: an option is ``badopt``."""
    flags, least, most = 0, 0, 0
    for option in options:
        name: Any = option
        value: Any = None
        if type(option) is tuple and len(option) == 2:
            name, value = option
        if type(name) is not Atom:
            return None
        if name in (_LINK, _MONITOR):
            if type(option) is tuple and not _fits_signal(name, value):
                return None
            flags |= LINKED if name == _LINK else MONITORED
            continue
        check = _CHECKS.get(name.name) if type(option) is tuple else None
        if check is None or not check(value):
            return None
        if name.name == "min_heap_size":
            least = value
        elif name.name == "max_heap_size":
            most = _heap(value)
    return None if most and most < max(least, _LEAST_HEAP) else flags


def _fits_signal(name: Atom, options: Any) -> bool:
    """Check the list of ``{link, List}`` or ``{monitor, List}``."""
    if type(options) is not list:
        return False
    for option in options:
        if type(option) is Atom and option == _PRIORITY:
            continue
        if name == _LINK or type(option) is not tuple or len(option) != 2:
            return False
        key, value = option
        if type(key) is not Atom or key not in (_TAG, _ALIAS):
            return False
        if key == _ALIAS and not (type(value) is Atom and value.name in ALIAS_MODES):
            return False
    return True


def _is_number(value: Any) -> bool:
    return type(value) is int and 0 <= value < _MOST


def _is_word(*words: str) -> Callable[[Any], bool]:
    known = frozenset(words)
    return lambda value: type(value) is Atom and value.name in known


def _is_heap(value: Any) -> bool:
    """``Size``, or a map with ``size`` and any of three flags; other keys are ignored."""
    if type(value) is not dict and type(value) is not TermMap:
        return _is_number(value)
    flags = ("kill", "error_logger", "include_shared_binaries")
    return _is_number(value.get(_SIZE)) and all(
        type(value.get(Atom(flag), False)) is bool for flag in flags
    )


def _heap(value: Any) -> int:
    size: int = value if type(value) is int else value[_SIZE]
    return size


_CHECKS: Final[dict[str, Callable[[Any], bool]]] = {
    "async_dist": lambda value: type(value) is bool,
    "fullsweep_after": _is_number,
    "max_heap_size": _is_heap,
    "message_queue_data": _is_word("off_heap", "on_heap"),
    "min_bin_vheap_size": _is_number,
    "min_heap_size": _is_number,
    "priority": _is_word("low", "normal", "high", "max"),
    "scheduler": _is_number,
}


# --------------------------------------------------------------------------- asked by us


class SpawnOptions:
    """The options of a request of ours, sorted by who needs them."""

    __slots__ = ("alias", "bad", "link", "monitor", "reply", "reply_tag", "tag", "wire")

    def __init__(self) -> None:
        self.link = False
        self.monitor = False
        #: What stands in the message of the monitor for ``'DOWN'``.
        self.tag: Any = DOWN
        #: One of :data:`ALIAS_MODES`: the reference of the monitor is an alias too.
        self.alias: str | None = None
        self.reply_tag: Any = SPAWN_REPLY
        self.reply = "yes"
        #: One of those that stay at home is none: ``badopt``, and nothing is asked.
        self.bad = False
        #: What goes to the other node.
        self.wire: list[Any] = []


def own_options(options: Iterable[Any]) -> SpawnOptions:
    """Sort options in Erlang's form; a str where an atom is wanted is one."""
    found = SpawnOptions()
    for option in options:
        name, value = option if type(option) is tuple and len(option) == 2 else (option, None)
        word = str(name) if isinstance(name, str | Atom) else None
        if word == "link":
            found.link = True
            found.wire.append(_LINK)
        elif word == "monitor":
            found.monitor = True
            found.wire.append(_MONITOR)
            if type(option) is tuple:
                _monitor_options(found, value)
        elif word == "reply_tag" and type(option) is tuple:
            found.reply_tag = value
        elif word == "reply" and type(option) is tuple:
            if str(value) in _REPLIES:
                found.reply = str(value)
            else:
                found.bad = True
        else:
            found.wire.append(_as_option(option))
    return found


def _monitor_options(found: SpawnOptions, options: Any) -> None:
    found.bad = found.bad or type(options) is not list
    for option in options if type(options) is list else ():
        match option:
            case (key, value) if str(key) == "tag":
                found.tag = value
            case (key, value) if str(key) == "alias" and str(value) in ALIAS_MODES:
                found.alias = str(value)
            case _:
                found.bad = True


def _as_option(option: Any) -> Any:
    """Return an option with its name, and a value that is a word, as atoms."""
    if isinstance(option, str):
        return Atom(option)
    if type(option) is tuple:
        return tuple(Atom(part) if isinstance(part, str) else part for part in option)
    return option
