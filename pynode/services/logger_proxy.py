"""``logger_proxy``: takes the log events that other nodes send here.

A BEAM process whose group leader is a process of this node sends its crash reports to this node,
``{log, Level, Format, Args, Meta}`` or ``{log, Level, StringOrReport, Meta}``.  They
become records of the Python logger ``pynode.remote``, unformatted: Erlang's formats are Erlang's.

Source: logger_proxy.erl, logger_olp.erl, logger.erl (``do_log_allowed``).
"""

from __future__ import annotations

import logging
from typing import Any, ClassVar, Final

from pynode.shown import shown
from pynode.terms import Atom, charlist_text, to_text

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
_PARTS: Final = 10
_CHARACTERS: Final = 64 * 1024


class LoggerProxy(Service):
    """The process ``logger_proxy``."""

    name: ClassVar[str] = "logger_proxy"

    def info(self, message: Any) -> None:
        """A log event, plain or wrapped as logger_olp's load."""
        match message:
            case (_, (_, Atom() as level, *rest)) | (_, Atom() as level, *rest):
                logger.log(_LEVELS.get(level.name, logging.INFO), "%s", _text(rest))

    def cast(self, request: Any) -> None:
        """The same."""
        self.info(request)

    def call(self, caller: tuple[Any, Any], request: Any) -> Any:
        """logger_olp calls instead of casting under load; anything gets ok."""
        self.info(request)
        return Atom("ok") if isinstance(request, tuple) else NO_ANSWER


def _text(event: list[Any]) -> str:
    if len(event) > 1:
        event = event[:-1]  # without the metadata
    text = " ".join(map(_readable, event[:_PARTS]))
    return text if len(text) <= _CHARACTERS else text[:_CHARACTERS] + "..."


def _readable(part: Any) -> str:
    try:
        return charlist_text(part)
    except (TypeError, ValueError):
        return repr(shown(to_text(part)))
