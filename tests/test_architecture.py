"""The direction of imports, and the package's list of names."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import pynode

ROOT = Path(pynode.__file__).parent

#: From the leaves up: a room imports rooms before it, and itself.
LAYERS = [
    {"_lazy", "_tuples", "_values", "shown"},
    {"errors"},
    {"config"},
    {"telemetry"},
    {"terms"},
    {"etf"},
    {"dist"},
    {"policy"},
    {"net"},
    {"process"},
    {"behaviours"},
    {"services"},
    {"discovery"},
    {"client_words", "node", "options", "spawning", "thread"},
    {"pubsub", "phoenix"},
    {"mesh"},
    {"testing"},
    {"cli", "examples", "__main__"},
]
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
#: Rooms that never import each other, whatever their level.
APART = {("net", "process"), ("process", "net")}
#: Rooms without I/O, clock and randomness of their own.
PURE = {"terms", "etf", "dist", "policy"}
IMPURE = {"asyncio", "random", "secrets", "selectors", "socket", "ssl", "threading", "time"}


def modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def room_of(name: str) -> str:
    """Return the room of a dotted module name of this package."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else ""


def runtime_imports(path: Path, root: Path) -> Iterator[tuple[str, int]]:
    """Yield what a module imports when it runs: not what stands under TYPE_CHECKING."""
    package = ["pynode", *path.relative_to(root).parts[:-1]]

    def walk(node: ast.AST) -> Iterator[tuple[str, int]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                continue
            if isinstance(child, ast.Import):
                yield from ((alias.name, child.lineno) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                if child.level:
                    base = package[: len(package) - child.level + 1]
                    name = ".".join([*base, *(child.module or "").split(".")]).rstrip(".")
                else:
                    name = child.module or ""
                if name == "pynode":
                    yield from ((f"pynode.{alias.name}", child.lineno) for alias in child.names)
                else:
                    yield name, child.lineno
            else:
                yield from walk(child)

    yield from walk(ast.parse(path.read_text()))


def violations(path: Path, root: Path = ROOT) -> Iterator[str]:
    parts = path.relative_to(root).with_suffix("").parts
    room = parts[0]
    if parts == ("__init__",):
        return
    for name, line in runtime_imports(path, root):
        where = f"{path.relative_to(root)}:{line}"
        if room in PURE and name.split(".")[0] in IMPURE:
            yield f"{where}: {room} is pure and imports {name}"
        if not name.startswith("pynode."):
            continue
        other = room_of(name)
        if other not in LEVEL:
            if other in pynode.__all__ and LEVEL[room] > LEVEL["node"]:
                continue  # a name of the package, for those above the node
            yield f"{where}: {name} is in no room known to this test"
        elif LEVEL[other] > LEVEL[room] or (room, other) in APART:
            yield f"{where}: {room} imports {other}, which stands above it or apart"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    assert list(violations(path)) == []


def test_the_walk_sees_a_violation(tmp_path: Path) -> None:
    module = tmp_path / "dist" / "x.py"
    module.parent.mkdir()
    module.write_text("import time\ndef f():\n    from pynode.net import Net\n")
    assert list(violations(module, tmp_path)) == [
        "dist/x.py:1: dist is pure and imports time",
        "dist/x.py:3: dist imports net, which stands above it or apart",
    ]


def test_every_name_of_the_package_is_listed_once_in_order_and_is_there() -> None:
    def order(name: str) -> tuple[int, str]:  # constants, classes, the rest: the linter's order
        return (0 if name.isupper() else 1 if name[0].isupper() else 2), name

    assert list(pynode.__all__) == sorted(set(pynode.__all__), key=order)
    for name in pynode.__all__:
        assert getattr(pynode, name) is not None


def test_nothing_public_is_unlisted() -> None:
    rooms = {path.stem for path in ROOT.iterdir()}
    found = {name for name in vars(pynode) if name[0].isalpha()}
    assert found - rooms - {"TYPE_CHECKING", "annotations", "lazy"} <= set(pynode.__all__)


def test_importing_the_package_imports_no_room_of_it() -> None:
    code = "import sys, pynode; print(*(m for m in sys.modules if m.startswith('pynode.')))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["pynode._lazy"]
    code = "import sys; from pynode import atom; assert 'asyncio' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_home_is_right_and_names_are_cached() -> None:
    homes = vars(pynode)["_HOMES"]
    listed = {name for names in homes.values() for name in names}
    assert listed | {"etf", "terms", "__version__"} == set(pynode.__all__)
    assert set(pynode.__all__) <= set(dir(pynode))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = pynode.nothing  # type: ignore[attr-defined]
