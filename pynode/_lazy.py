"""Names of a package that are imported when they are first asked for (PEP 562)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

__all__ = ["lazy"]


def lazy(
    package: str, homes: Mapping[str, Sequence[str]], submodules: Sequence[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` for ``package``.

    Args:
        package: its ``__name__``.
        homes: the names, by the module (relative to the package) that has them.
        submodules: modules that are names of the package too.
    """
    home_of = {name: module for module, names in homes.items() for name in names}

    def getattribute(name: str) -> Any:
        if name in home_of:
            found = getattr(import_module(f"{package}.{home_of[name]}"), name)
        elif name in submodules:
            found = import_module(f"{package}.{name}")
        else:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        setattr(sys.modules[package], name, found)  # asked for once
        return found

    def directory() -> list[str]:
        return sorted({*vars(sys.modules[package]), *home_of, *submodules})

    return getattribute, directory
