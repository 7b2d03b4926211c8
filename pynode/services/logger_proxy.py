"""``logger_proxy``: takes the log events that other nodes send here.

A BEAM process whose group leader is a process of this node sends its crash reports to this node,
``{log, Level, Format, Args, Meta}`` or ``{log, Level, StringOrReport, Meta}``.  They become
records of the Python logger ``pynode.remote``: text by Erlang's formats, a report with a line for
each key.  A record has ``erlang_level``, the level as a str, and ``erlang_meta``, the metadata by
name: ``pid``, ``mfa``, ``time`` in microseconds, ``domain``, ...  That a report of OTP's own brings
a function to format it does not help, for that is on the node it came from.

Source: logger_proxy.erl, logger_olp.erl, logger.erl (``do_log_allowed``, ``format_report``).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final

from pynode.errors import EncodeError
from pynode.shown import shown
from pynode.terms import Atom, atom, charlist_text, to_text
from pynode.terms.formats import FormatError, NotHere, Settings, format_text, print_term
from pynode.terms.size import fits

from .service import NO_ANSWER, Service

__all__ = ["LoggerProxy"]

logger = logging.getLogger("pynode.remote")

_LEVELS: Final[dict[str, int]] = {
    "emergency": logging.CRITICAL,
    "alert": logging.CRITICAL,
    "critical": logging.CRITICAL,
    "error": logging.ERROR,
    "warning": logging.WARNING,
    "notice": logging.INFO,
    "info": logging.INFO,
    "debug": logging.DEBUG,
}
#: Of one event; more is cut off, for a record is written at once, and holds the node up.
_CHARACTERS: Final = 64 * 1024
#: What an event may weigh to be formatted; heavier ones are only shown.
_WEIGHT: Final = 128 * 1024
_SETTINGS: Final = Settings(characters=4 * _CHARACTERS)


class LoggerProxy(Service):
    """The process ``logger_proxy``."""

    name: ClassVar[str] = "logger_proxy"

    def info(self, message: Any) -> None:
        """A log event, plain or wrapped as logger_olp's load."""
        match message:
            case (_, (_, Atom() as level, *rest)) | (_, Atom() as level, *rest):
                number = _LEVELS.get(level.name, logging.INFO)
                if logger.isEnabledFor(number):
                    meta = _metadata(rest[-1]) if len(rest) > 1 else {}
                    extra = {"erlang_level": level.name, "erlang_meta": meta}
                    logger.log(number, "%s", _text(rest), extra=extra)

    def cast(self, request: Any) -> None:
        """The same."""
        self.info(request)

    def call(self, caller: tuple[Any, Any], request: Any) -> Any:
        """logger_olp calls instead of casting under load; anything gets ok."""
        self.info(request)
        return Atom("ok") if isinstance(request, tuple) else NO_ANSWER


def _metadata(meta: Any) -> dict[str, Any]:
    if not isinstance(meta, Mapping):
        return {}
    return {key.name: value for key, value in meta.items() if isinstance(key, Atom)}


def _text(event: list[Any]) -> str:
    if len(event) > 1:
        event = event[:-1]  # without the metadata
    if not fits(event, _WEIGHT):
        return " ".join(repr(shown(part)) for part in event[:2])
    try:
        match event:
            case [control, list() as args]:
                text = format_text(control, args, _SETTINGS)
            case [said]:
                text = _said(said)
            case _:
                text = _readable(event)
    except (FormatError, NotHere, EncodeError):
        text = " ".join(map(_readable, event[:10]))
    return text if len(text) <= _CHARACTERS else text[:_CHARACTERS] + "..."


def _said(said: Any) -> str:
    """A string, or a report: pairs of a map or of a list, or several lists of them."""
    match said:
        case {atom.label: label, atom.report: report}:
            return f"{_pairs([(atom.label, label)])}\n{_said(report)}"
    if isinstance(said, Mapping):
        return _pairs(said.items())
    try:
        return charlist_text(said)
    except (TypeError, ValueError):
        pass
    if _are_pairs(said):
        return _pairs(said)
    if isinstance(said, list) and all(map(_are_pairs, said)):  # a crash, and whom it took along
        return "\n".join(_pairs(section) for section in said if section)
    return print_term(said, settings=_SETTINGS)


def _are_pairs(said: Any) -> bool:
    return isinstance(said, list) and all(type(item) is tuple and len(item) == 2 for item in said)


def _pairs(pairs: Iterable[tuple[Any, Any]]) -> str:
    lines = []
    for key, value in pairs:
        sequence = "~ts" if _is_string(value) else "~tp"
        lines.append(format_text(f"    ~tp: {sequence}", [key, value], _SETTINGS))
    return "\n".join(lines)


def _is_string(value: Any) -> bool:
    if not isinstance(value, list) or not value:
        return False
    try:
        return charlist_text(value).isprintable()
    except (TypeError, ValueError):
        return False


def _readable(part: Any) -> str:
    try:
        return charlist_text(part)
    except (TypeError, ValueError):
        return repr(shown(to_text(part)))
