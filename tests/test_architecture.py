"""The direction of imports, and the package's list of names."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import pynode
import pynode.behaviours
import pynode.process

ROOT = Path(pynode.__file__).parent

#: From the leaves up: a room imports rooms before it, and itself.
LAYERS = [
    {"_lazy", "_values", "forked", "shown"},
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


def in_a_new_interpreter(program: str) -> list[str]:
    """Run ``program`` and return the words that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


#: What ``from pynode import Node`` may import, beside the modules of the terms.  Whoever adds to
#: it looks at ``scripts/bench import`` first.
NODE_IMPORTS = {
    "__future__",
    "pynode",
    "pynode._lazy",
    "pynode._values",
    "pynode.behaviours",
    "pynode.behaviours.words",
    "pynode.client_words",
    "pynode.config",
    "pynode.forked",
    "pynode.errors",
    "pynode.node",
    "pynode.options",
    "pynode.policy",
    "pynode.policy.decide",
    "pynode.policy.introspection",
    "pynode.process",
    "pynode.process.elsewhere",
    "pynode.process.names",
    "pynode.process.resolver",
    "pynode.process.shared",
    "pynode.process.words",
    "pynode.shown",
    "pynode.spawning",
    "pynode.telemetry",
}
TERMS_IMPORT = {
    "pynode.terms",
    *(
        f"pynode.terms.{name}"
        for name in (
            *("_choice", "_compiled", "_pure_values", "atom", "compound", "identifiers"),
            *("notation", "order", "rebuild", "term_map", "text"),
        )
    ),
}


def test_the_class_of_nodes_imports_little_beside_asyncio() -> None:
    found = in_a_new_interpreter(
        "import asyncio, sys, typing; before = set(sys.modules); "
        "from pynode import Node; print(*set(sys.modules) - before)"
    )
    assert "pynode.node" in found
    ours = {name for name in found if "cython" not in name}
    assert ours <= NODE_IMPORTS | TERMS_IMPORT


def test_no_pattern_is_compiled_for_the_class_of_nodes() -> None:
    found = in_a_new_interpreter(
        "import asyncio, re, typing; made = []; "
        "re.compile = lambda *a: made.append(a[0]); re._compiler.compile = re.compile; "
        "from pynode import Node; print('imported', *made)"
    )
    assert found == ["imported"]


def test_what_the_first_message_needs_is_imported_when_a_node_is_started() -> None:
    """And nothing else that takes long to import, or to make."""
    program = """
import asyncio, re, sys
from pynode import Node

made, compiled = [], re._compiler.compile

def compile_pattern(pattern, *flags):
    if "\\U0010ffff" in pattern or "\\uffff" in pattern and "[^" not in pattern:
        made.append(ascii(pattern))  # large classes of characters
    return compiled(pattern, *flags)

re._compiler.compile = compile_pattern

async def echo(process):
    _, (pid, tag), request = await process.receive()
    process.runtime.send(process, pid, (tag, request))

async def main():
    async with Node("light@localhost", cookie="light", epmd=False, port=0, peer_port=1) as node:
        started = set(sys.modules)
        pid = node.spawn(echo)
        assert await node.call(pid, 7) == 7
        node.cast(pid, 1)
        node.send(node.main.pid, 1)
        node.monitor(pid)
        await node.main.receive()
        print("late", *set(sys.modules) - started)
        print("heavy", *{"dataclasses", "ipaddress", "pathlib", "urllib.parse"} & set(sys.modules))
        print("made", *made)

asyncio.run(main())
"""
    assert in_a_new_interpreter(program) == ["late", "heavy", "made"]


@pytest.mark.parametrize("package", [pynode.behaviours, pynode.process], ids=lambda p: p.__name__)
def test_the_names_of_a_lazy_room_are_there(package: ModuleType) -> None:
    assert set(package.__all__) <= set(dir(package))
    for name in package.__all__:
        getattr(package, name)
    names = in_a_new_interpreter(
        f"from {package.__name__} import *; print(*(n for n in dir() if n[0] != '_'))"
    )
    assert set(names) == set(package.__all__)
    with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'no'"):
        _ = package.no
    with pytest.raises(ImportError, match="cannot import name 'no' from"):
        exec(f"from {package.__name__} import no")
