"""Which Erlang and Elixir a test runs on.

The machine's own is the default.  Others are folders: a Debian root with both in it (what
``scripts/beam trixie`` makes; its programs run in a chroot, which needs root or user
namespaces), or an unpacked OTP with ``bin/erl`` in it, which need not have Elixir.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from pynode.testing.errors import BeamMissing

__all__ = ["Release"]


@dataclass(frozen=True, slots=True)
class Release:
    """One Erlang, with or without Elixir; ``root`` is None for the machine's own."""

    name: str = "host"
    root: Path | None = None

    @classmethod
    def find(cls, name: str | None = None, *, near: Path | None = None) -> Release:
        """Return the release ``name``; ``"host"`` is the machine's own.

        None is the one that the environment variable ``PYNODE_BEAM_RELEASE`` names, and the
        machine's own where it is not set.

        Looked for, in this order: the folder in the environment variable
        ``PYNODE_BEAM_<NAME>``; the folder ``NAME`` in the one that ``PYNODE_BEAMS`` holds;
        ``.beam/NAME`` in ``near`` (default: the working directory) and in its parents.

        Raises:
            BeamMissing: there is no such folder.
        """
        name = name or os.environ.get("PYNODE_BEAM_RELEASE") or "host"
        if name == "host":
            return cls()
        direct = os.environ.get(f"PYNODE_BEAM_{name.upper()}")
        shelf = os.environ.get("PYNODE_BEAMS")
        start = (near or Path.cwd()).resolve()
        candidates = [
            *([Path(direct)] if direct else []),
            *([Path(shelf) / name] if shelf else []),
            *(folder / ".beam" / name for folder in (start, *start.parents)),
        ]
        for folder in candidates:
            if folder.is_dir():
                return cls(name, folder.resolve())
        raise BeamMissing(
            f"there is no release {name!r}: neither PYNODE_BEAM_{name.upper()} nor PYNODE_BEAMS "
            f"nor a folder .beam/{name} above {start} has it"
        )

    @property
    def chrooted(self) -> bool:
        """Whether the programs run with ``root`` as their ``/``."""
        return self.root is not None and (self.root / "usr/bin").is_dir()

    def has(self, program: str) -> bool:
        """Return whether the release has ``program`` (``erl``, ``elixir``, ``mix``, ``epmd``)."""
        return self.executable(program) is not None

    def executable(self, program: str) -> Path | None:
        """Return the file of ``program`` as seen from here, or None."""
        if self.root is None:
            found = shutil.which(program)
            return Path(found) if found else None
        folder = self.root / ("usr/bin" if self.chrooted else "bin")
        file = folder / program
        return file if file.exists() or file.is_symlink() else None

    def command(self, program: str, *arguments: str) -> list[str]:
        """Return the command line of ``program`` with ``arguments``.

        Raises:
            BeamMissing: the release does not have it.
        """
        file = self.executable(program)
        if file is None:
            raise BeamMissing(f"there is no {program} {self._where()}")
        if not self.chrooted:
            return [str(file), *arguments]
        assert self.root is not None
        return [*self._enter(), f"/usr/bin/{program}", *arguments]

    def inside(self, path: Path) -> str:
        """Return how the release's programs see ``path``, which lies below ``root``."""
        if not self.chrooted:
            return str(path)
        assert self.root is not None
        return "/" + str(path.relative_to(self.root))

    def _enter(self) -> list[str]:
        """Return the words that change the root; both ``exec`` what follows, so pids stay."""
        assert self.root is not None
        if os.geteuid() == 0:
            return ["chroot", str(self.root)]
        return ["unshare", "--user", "--map-root-user", f"--root={self.root}", "--wd=/"]

    def _where(self) -> str:
        return "on PATH" if self.root is None else f"in the release {self.name} ({self.root})"
