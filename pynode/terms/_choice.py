"""Which implementation serves: the compiled one where it was built, the pure one elsewhere.

The environment variable ``PYNODE_IMPL`` says otherwise: ``pure``, or ``compiled``, which is an
ImportError where that is not there.  The classes of atoms, pids, references and improper lists
come from here, so there is one set of them in a process, whichever codec reads and writes them.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Literal

__all__ = ["IMPLEMENTATION", "Atom", "ImproperList", "Pid", "Reference", "atom"]

_HOW: Final = "build them where there is a C compiler: PYNODE_ACCEL=require pip install ..."


def _choose() -> Literal["compiled", "pure"]:
    wanted = os.environ.get("PYNODE_IMPL", "")
    if wanted == "pure":
        return "pure"
    if wanted not in ("", "compiled"):
        raise ImportError(f"PYNODE_IMPL is {wanted!r}, and may be 'pure' or 'compiled'")
    try:
        from pynode.terms import _compiled  # noqa: F401
    except ImportError as error:
        if wanted:
            raise ImportError(
                f"PYNODE_IMPL is 'compiled', but the compiled modules are missing ({error}); {_HOW}"
            ) from error
        return "pure"
    return "compiled"


IMPLEMENTATION: Final = _choose()

if TYPE_CHECKING or IMPLEMENTATION == "pure":
    from pynode.terms._pure_values import Atom, ImproperList, Pid, Reference, atom
else:
    from pynode.terms._compiled import Atom, ImproperList, Pid, Reference, atom
