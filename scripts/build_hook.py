"""Compiles the .pyx files beside the Python they are the twins of: hatchling's build hook.

The environment variable PYNODE_ACCEL says whether: ``auto`` (where there is a C compiler; a wheel
without it is pure Python, and its tag says so), ``require`` (without one the build fails), ``off``.
As a program it builds them in the checkout, as ``pip install --editable`` does.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
import tempfile
from contextlib import chdir
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")


def build(root: Path, target: Path) -> list[str]:
    """Compile all into ``target``; return the paths there, which are those below ``root``."""
    from Cython import Build
    from setuptools import Distribution, Extension  # type: ignore[import-untyped, unused-ignore]

    flags = ["-O3", "-g0"] if os.name == "posix" else []
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
        command.run()
    return [name.replace(".", os.sep) + SUFFIX for name in names]


class AccelHook(BuildHookInterface):  # type: ignore[type-arg, misc, unused-ignore]
    """Puts the compiled modules into a wheel, or beside their sources for an editable one."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build, and set the wheel's tag."""
        if self.target_name != "wheel":
            return
        wanted = os.environ.get("PYNODE_ACCEL") or "auto"
        if wanted not in ("auto", "require", "off"):
            raise ValueError(f"PYNODE_ACCEL is {wanted!r}: it may be auto, require or off")
        self.made = Path(tempfile.mkdtemp(prefix="pynode-build-"))
        files = []
        try:
            files = [] if wanted == "off" else build(Path(self.root), self.made)
        except Exception as error:
            if wanted == "require":
                raise RuntimeError(
                    f"PYNODE_ACCEL=require, and compiling failed: {error}"
                ) from error
            self.app.display_warning(f"pynode stays pure Python, as compiling failed: {error}")
        if version == "editable":
            put_in_place(Path(self.root), self.made, files)
        elif files:
            build_data["pure_python"], build_data["infer_tag"] = False, True
            build_data["force_include"].update({str(self.made / file): file for file in files})

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Clear up."""
        if hasattr(self, "made"):
            shutil.rmtree(self.made)


def put_in_place(root: Path, made: Path, files: list[str]) -> None:
    """Move the modules beside their sources; what is there of others of this Python goes."""
    for file in files:
        # By a rename, as programs may run that have the old one open.
        shutil.copy(made / file, root / f"{file}.new")
        os.replace(root / f"{file}.new", root / file)
    for old in root.joinpath("pynode").rglob(f"*{SUFFIX}"):
        if str(old.relative_to(root)) not in files:
            old.unlink()


if __name__ == "__main__":
    checkout = Path(__file__).parent.parent
    with tempfile.TemporaryDirectory(prefix="pynode-build-") as folder:
        put_in_place(checkout, Path(folder), build(checkout, Path(folder)))
    sys.exit(0)
