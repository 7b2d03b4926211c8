"""Compiles the .pyx files beside the Python they are the twins of: hatchling's build hook.

The environment variable PYNODE_ACCEL says whether: ``auto`` (where there is a C compiler; a wheel
without it is pure Python, and its tag says so), ``require`` (without one the build fails), ``off``.
As a program it builds them in the checkout, as ``pip install --editable`` does; with two arguments
for another CPython of this machine's kind, ``build_hook.py 3.13 FOLDER``, whose headers are in
``FOLDER/python3.13``.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
import tempfile
from contextlib import chdir
from pathlib import Path
from typing import Any, NamedTuple

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")


class Interpreter(NamedTuple):
    """What the modules are compiled for."""

    suffix: str = SUFFIX
    #: Where the headers are; none: where this interpreter's are.
    include: tuple[str, ...] = ()

    @classmethod
    def other(cls, version: str, headers: Path) -> Interpreter:
        """Return the CPython of a version as ``3.13``, with the headers that Debian has for it."""
        tag = f"cpython-{version.replace('.', '')}"
        suffix = SUFFIX.replace(sys.implementation.cache_tag, tag)
        return cls(suffix, (str(headers.absolute()), str(headers.absolute() / f"python{version}")))

    def file(self, name: str) -> str:
        """Return the path of a module."""
        return name.replace(".", os.sep) + self.suffix


THIS = Interpreter()


def build(root: Path, target: Path, interpreter: Interpreter = THIS) -> list[str]:
    """Compile all into ``target``; return the paths there, which are those below ``root``."""
    from Cython import Build
    from setuptools import Distribution, Extension  # type: ignore[import-untyped, unused-ignore]

    flags = ["-O3", "-g0"] if os.name == "posix" and "CFLAGS" not in os.environ else []
    with chdir(root):
        sources = sorted(str(path) for path in Path("pynode").rglob("*.pyx"))
        names = [source.removesuffix(".pyx").replace(os.sep, ".") for source in sources]
        modules = [
            Extension(name, [source], extra_compile_args=flags)
            for name, source in zip(names, sources, strict=True)
        ]
        cythonize: Any = Build.cythonize
        made = cythonize(modules, build_dir=str(target / "c"), quiet=True)
        command: Any = Distribution({"ext_modules": made}).get_command_obj("build_ext")
        command.build_lib, command.build_temp = str(target), str(target / "o")
        command.parallel = os.cpu_count()
        command.ensure_finalized()
        if interpreter.include:
            command.include_dirs = list(interpreter.include)
        command.get_ext_filename = interpreter.file
        command.run()
    return [interpreter.file(name) for name in names]


def build_if_wanted(
    root: Path, target: Path, interpreter: Interpreter = THIS
) -> tuple[list[str], str]:
    """Build as PYNODE_ACCEL says; return the paths, and why there are none if they were wanted."""
    wanted = os.environ.get("PYNODE_ACCEL") or "auto"
    if wanted not in ("auto", "require", "off"):
        raise ValueError(f"PYNODE_ACCEL is {wanted!r}: it may be auto, require or off")
    if wanted == "off":
        return [], ""
    try:
        return build(root, target, interpreter), ""
    except Exception as error:
        if wanted == "require":
            raise RuntimeError(f"PYNODE_ACCEL=require, but compiling failed: {error}") from None
        return [], f"pynode stays pure Python, as compiling failed: {error}"


def put_in_place(root: Path, made: Path, files: list[str], suffix: str = SUFFIX) -> None:
    """Put the modules beside their sources; those of the same Python that were there go."""
    for file in files:
        # By a rename, as programs may run that have the old one open.
        shutil.copy(made / file, root / f"{file}.new")
        os.replace(root / f"{file}.new", root / file)
    for old in root.joinpath("pynode").rglob(f"*{suffix}"):
        if str(old.relative_to(root)) not in files:
            old.unlink()


class AccelHook(BuildHookInterface):  # type: ignore[type-arg, misc, unused-ignore]
    """Puts the compiled modules into a wheel, or beside their sources for an editable one."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build, and set the wheel's tag."""
        if self.target_name != "wheel":
            return
        root, self.made = Path(self.root), Path(tempfile.mkdtemp(prefix="pynode-build-"))
        files, problem = build_if_wanted(root, self.made)
        if problem:
            self.app.display_warning(problem)
        if version == "editable":
            put_in_place(root, self.made, files)
        elif files:
            build_data["pure_python"], build_data["infer_tag"] = False, True
            build_data["force_include"].update({str(self.made / file): file for file in files})

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Clear up."""
        if hasattr(self, "made"):
            shutil.rmtree(self.made)


if __name__ == "__main__":
    checkout = Path(__file__).parent.parent
    wanted_for = Interpreter.other(sys.argv[1], Path(sys.argv[2])) if sys.argv[1:] else THIS
    with tempfile.TemporaryDirectory(prefix="pynode-build-") as folder:
        made_files, why_not = build_if_wanted(checkout, Path(folder), wanted_for)
        put_in_place(checkout, Path(folder), made_files, wanted_for.suffix)
    sys.stderr.write(f"{why_not}\n" if why_not else "")
