"""What the options of a node may be: looked at before anything is made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from typing import Any, Final

from pynode.config import Limits, Timeouts, TlsConfig
from pynode.errors import ConfigError

__all__ = ["check_options"]


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_exposable(value: Any) -> bool:
    return isinstance(value, Mapping) or (
        isinstance(value, Iterable) and not isinstance(value, str | bytes)
    )


def _of(*types: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, types)


_YES_OR_NO: Final = "a bool", _of(bool)
_TEXT: Final = "a str", _of(str)
_PORT: Final = "an int, a port's number", _is_int
_FILE: Final = "a path, str or Path", _of(str, PathLike)

#: What each takes, in words, and what tells whether it is that; beside None, where that is
#: what it is when nothing is said.
_OPTIONS: Final[dict[str, tuple[str, Callable[[Any], bool]]]] = {
    "name": _TEXT,
    "cookie": ("a str or bytes", _of(str, bytes)),
    "cookie_file": _FILE,
    "hidden": _YES_OR_NO,
    "long_names": _YES_OR_NO,
    "listen": ("a str, an address or a host", _of(str)),
    "port": _PORT,
    "epmd": _YES_OR_NO,
    "peer_port": _PORT,
    "tls": ("a TlsConfig", _of(TlsConfig)),
    "epmd_port": _PORT,
    "start_epmd": _YES_OR_NO,
    "connect_all": _YES_OR_NO,
    "prevent_overlapping_partitions": _YES_OR_NO,
    "start_pg": _YES_OR_NO,
    "cookies": ("a mapping of node names to cookies", _of(Mapping)),
    "net_ticktime": ("a number of seconds", _is_number),
    "timeouts": ("a Timeouts", _of(Timeouts)),
    "limits": ("a Limits", _of(Limits)),
    "policy": ("a function of peer, action and target", callable),
    "expose": ("a mapping of modules to what is exposed, or a list of Exports", _is_exposable),
    "shell": ("a bool or a mapping of names", _of(bool, Mapping)),
    "introspection": _YES_OR_NO,
}
_NOT_NONE: Final = frozenset(
    name
    for name in _OPTIONS
    if _OPTIONS[name] is _YES_OR_NO or name in ("policy", "expose", "shell")
) - {"long_names", "epmd"}


def check_options(given: Mapping[str, Any]) -> None:
    """Look at the options of a node.

    Raises:
        TypeError: one is not of the type that it takes; the message names it.
        ConfigError: ``epmd_port`` is no port.
    """
    for name, (words, fits) in _OPTIONS.items():
        value = given[name]
        if not (value is None and name not in _NOT_NONE) and not fits(value):
            none = "" if name in _NOT_NONE else ", or None"
            raise TypeError(f"{name} is {words}{none}, not {value!r}")
    if given["epmd_port"] is not None and not 0 < given["epmd_port"] < 65536:
        raise ConfigError(f"epmd_port: {given['epmd_port']} is no port")
    for node, cookie in (given["cookies"] or {}).items():
        if not isinstance(cookie, str | bytes):
            raise TypeError(f"cookies[{node!r}] is a str or bytes, not {cookie!r}")
