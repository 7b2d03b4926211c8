"""A Mix project for the nodes of a test: found, compiled once, put on the code path.

Starting a node through ``mix`` would take three times as long as starting it on compiled code,
so ``mix compile`` runs when a source is newer than the last build, and not at each start.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pynode.testing.errors import BeamFailed
from pynode.testing.release import Release

__all__ = ["MixProject"]

_NOT_SOURCES = frozenset({"_build", ".git", ".elixir_ls", "node_modules", "cover", "doc"})


@dataclass(frozen=True, slots=True)
class MixProject:
    """A Mix project, compiled; all paths as the release's own programs see them."""

    source: Path
    """Its folder, as seen from here."""
    code_paths: tuple[str, ...]
    """The folders for ``-pa``, consolidated protocols first."""
    configuration: tuple[str, ...]
    """``config/config.exs`` and ``config/runtime.exs``, where there are."""
    application: str
    environment: str
    """What ``Mix.env`` was when it was compiled."""

    @classmethod
    def find(cls, name: str | os.PathLike[str], *, near: Path | None = None) -> Path:
        """Return the folder of a project.

        ``name`` is a path, or the name of a folder in ``near`` (default: the working
        directory) or in one of its parents, or of a project that comes with this package
        (``elixir_side``).

        Raises:
            BeamFailed: there is no such folder with a ``mix.exs`` in it.
        """
        start = (near or Path.cwd()).resolve()
        package = Path(__file__).resolve().parents[1]
        for folder in (start, *start.parents, package, package.parent):
            candidate = folder / name
            if (candidate / "mix.exs").is_file():
                return candidate.resolve()
        raise BeamFailed(f"there is no Mix project {os.fspath(name)!r} in {start} or above")

    @classmethod
    def compile(
        cls, source: Path, release: Release, *, environment: str = "dev", timeout: float = 600.0
    ) -> MixProject:
        """Compile the project in ``source`` for ``release``, unless that is done already.

        Safe when several processes do it at once: all but one wait.

        Raises:
            BeamMissing: the release has no ``mix``.
            BeamFailed: it does not compile; the message is Mix's.
        """
        mix = release.command("mix", "compile")
        place, build = _places(source, release, environment)
        wanted = _fingerprint(source, release)
        stamp = build / "pynode.stamp"
        build.mkdir(parents=True, exist_ok=True)
        with _locked(build / "pynode.lock"):
            if not stamp.is_file() or stamp.read_text() != wanted:
                if place != source:
                    _mirror(source, place)
                _run_mix(mix, release, place, build, environment, timeout)
                stamp.write_text(wanted)
        return cls._of(source, release, place, build, environment)

    @classmethod
    def _of(
        cls, source: Path, release: Release, place: Path, build: Path, environment: str
    ) -> MixProject:
        library = build / "lib"
        found = [*sorted(library.glob("*/consolidated")), *sorted(library.glob("*/ebin"))]
        configuration = [place / "config" / name for name in ("config.exs", "runtime.exs")]
        return cls(
            source=source,
            code_paths=tuple(release.inside(path) for path in found),
            configuration=tuple(release.inside(f) for f in configuration if f.is_file()),
            application=_application(source, library),
            environment=environment,
        )


def _places(source: Path, release: Release, environment: str) -> tuple[Path, Path]:
    """Return where the release finds the sources, and where it builds."""
    mark = hashlib.sha256(str(source).encode()).hexdigest()[:12]
    if release.chrooted:  # a program in there cannot see our folders, so it gets a copy
        assert release.root is not None
        place = release.root / "var/tmp" / f"pynode-{mark}"
        return place, place / "_build" / f"beam-{environment}"
    if os.access(source, os.W_OK):
        return source, source / "_build" / f"beam-{release.name}-{environment}"
    shelf = Path(tempfile.gettempdir()) / f"pynode-build-{os.getuid()}"
    shelf.mkdir(mode=0o700, exist_ok=True)
    if shelf.stat().st_uid != os.getuid():
        raise BeamFailed(f"{shelf} belongs to another user")
    return source, shelf / f"{source.name}-{mark}-{release.name}-{environment}"


def _sources(source: Path) -> Iterator[Path]:
    for folder, inner, files in os.walk(source):
        inner[:] = sorted(name for name in inner if name not in _NOT_SOURCES)
        for name in sorted(files):
            yield Path(folder) / name


def _fingerprint(source: Path, release: Release) -> str:
    digest = hashlib.sha256()
    tool = release.executable("mix")
    assert tool is not None
    for file in (tool if tool.is_symlink() else tool.resolve(), *_sources(source)):
        status = file.lstat()
        digest.update(f"{file}\0{status.st_mtime_ns}\0{status.st_size}\n".encode())
    return digest.hexdigest()


def _mirror(source: Path, place: Path) -> None:
    for entry in place.iterdir():
        if entry.name != "_build":
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    shutil.copytree(
        source, place, dirs_exist_ok=True, ignore=lambda _, names: _NOT_SOURCES & set(names)
    )


def _run_mix(
    mix: list[str], release: Release, place: Path, build: Path, environment: str, timeout: float
) -> None:
    variables = dict(
        os.environ,
        MIX_ENV=environment,
        MIX_BUILD_PATH=release.inside(build),
        LANG="C.UTF-8",
        LC_ALL="C.UTF-8",
    )
    if release.chrooted:
        variables["HOME"] = "/root"
        at = mix.index("/usr/bin/mix")
        mix = [*mix[:at], "/usr/bin/env", "-C", release.inside(place), *mix[at:]]
    done = subprocess.run(
        mix,
        cwd="/" if release.chrooted else place,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )
    if done.returncode != 0:
        raise BeamFailed(f"{place} does not compile (mix compile)", done.stdout.strip())


def _application(source: Path, library: Path) -> str:
    """Return the application of a project: of those built, the one that is no dependency."""
    built = {file.stem for file in library.glob("*/ebin/*.app")}
    dependencies = {path.name for path in (source / "deps").glob("*")}
    own = sorted(built - dependencies)
    if source.name in own:
        return source.name
    if len(own) != 1:
        raise BeamFailed(f"{source}: cannot tell its application from {sorted(built)}")
    return own[0]


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
