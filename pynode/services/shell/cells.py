"""From lines to code: when a cell is complete, what it shows, and how its errors read.

A cell is what the shell evaluates at a time: a statement, of one line or of several, until Python
itself would evaluate it.  ``await`` may stand outside any function.
"""

from __future__ import annotations

import ast
import codeop
import inspect
import linecache
import os
import traceback
import warnings
from pathlib import Path
from types import CodeType
from typing import Final, NamedTuple

import pynode

__all__ = ["SHOW", "SHOW_LATER", "Cell", "Compiler", "error_text", "syntax_error_text"]

#: Where the functions stand that a cell's expressions are given to; no names that one could type.
SHOW: Final = "<show>"
SHOW_LATER: Final = "<show later>"

#: Where the frames are that stand between a cell and what has gone wrong.
_PACKAGE: Final = str(Path(pynode.__file__).parent) + os.sep
_COMPILED: Final = "pynode" + os.sep


class Cell(NamedTuple):
    """Code, ready to run."""

    code: CodeType
    awaits: bool
    """It is a coroutine's: to be run on the loop."""


class Compiler:
    """Compiles the cells of one session; remembers what they import from ``__future__``."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._count = 0
        self._files: list[str] = []
        self._compile = codeop.CommandCompiler()
        self._compile.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT

    def compile(self, source: str) -> Cell | None:
        """Return the cell of ``source``, None if more lines are to come.

        Raises:
            SyntaxError, ValueError, OverflowError: as ``compile`` does.
        """
        file = f"<{self._title} {self._count + 1}>"
        code = self._compile(source, file, "single")
        if code is None:
            return None
        self._count += 1
        self._keep(file, source)
        awaits = bool(code.co_flags & inspect.CO_COROUTINE)
        flags = self._compile.compiler.flags | ast.PyCF_ONLY_AST
        with warnings.catch_warnings():  # they have been given above
            warnings.simplefilter("ignore")
            if _is_blank(source):
                return Cell(compile("", file, "exec"), awaits=False)
            tree = compile(source + "\n", file, "single", flags, dont_inherit=True)
            assert isinstance(tree, ast.Interactive)  # noqa: S101
            shown = _Show(SHOW_LATER if awaits else SHOW, awaits=awaits)
            module = ast.Module([shown.visit(each) for each in tree.body], type_ignores=[])
            code = compile(
                ast.fix_missing_locations(module),
                file,
                "exec",
                self._compile.compiler.flags,
                dont_inherit=True,
            )
        return Cell(code, awaits)

    def _keep(self, file: str, source: str) -> None:
        """Let tracebacks show the lines."""
        self._files.append(file)
        lines = [line + "\n" for line in source.split("\n")]
        linecache.cache[file] = (len(source), None, lines, file)

    def forget(self) -> None:
        """Drop the lines of all cells."""
        for file in self._files:
            linecache.cache.pop(file, None)
        self._files.clear()


def _is_blank(source: str) -> bool:
    return all(not line.strip() or line.lstrip().startswith("#") for line in source.split("\n"))


class _Show(ast.NodeTransformer):
    """Gives the value of each expression that stands for itself to the function that shows it.

    What the interpreter's own prompt does with ``sys.displayhook``, which is the program's.
    """

    def __init__(self, name: str, *, awaits: bool) -> None:
        self._name = name
        self._awaits = awaits

    def visit_Expr(self, node: ast.Expr) -> ast.Expr:
        show = ast.Name(self._name, ast.Load())
        call: ast.expr = ast.Call(show, [node.value], [])
        if self._awaits:
            call = ast.Await(call)
        return ast.copy_location(ast.Expr(ast.copy_location(call, node.value)), node)

    def _leave(self, node: ast.AST) -> ast.AST:
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = visit_Lambda = _leave


# --------------------------------------------------------------------------- errors


def error_text(error: BaseException) -> str:
    """Return the traceback of an error of a cell, without the frames of this package."""
    try:
        shown = traceback.TracebackException.from_exception(error, compact=True)
        _trim(shown, set())
        return "".join(shown.format())
    except Exception as problem:  # such as an exception whose __str__ fails in some new way
        return f"{type(error).__name__} (its traceback cannot be shown: {problem!r})\n"


def syntax_error_text(error: BaseException) -> str:
    """Return how an error of the compiler reads: the line, a caret, and what is wrong."""
    return "".join(traceback.format_exception_only(error))


def _trim(shown: traceback.TracebackException, seen: set[int]) -> None:
    if id(shown) in seen:
        return
    seen.add(id(shown))
    kept = [frame for frame in shown.stack if not _is_ours(frame.filename)]
    shown.stack = traceback.StackSummary.from_list(kept)
    for other in (shown.__cause__, shown.__context__, *(getattr(shown, "exceptions", None) or ())):
        if other is not None:
            _trim(other, seen)


def _is_ours(filename: str) -> bool:
    """Compiled modules have the names that their sources had where they were built."""
    compiled = filename.startswith(_COMPILED) and filename.endswith((".pyx", ".pxi"))
    return compiled or filename.startswith(_PACKAGE)
