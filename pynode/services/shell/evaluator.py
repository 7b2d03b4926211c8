"""Where the cells of a session run, and how they are stopped.

A cell without ``await`` runs in a thread of the session's own: it may compute for as long as it
likes, and the node ticks.  A cell with ``await`` runs on the node's loop, in a task, and between
two awaits it holds the loop up like any coroutine of the program's.  Both run as the process of
the session: ``self_()`` is the same in all of them.

An interrupt cancels a cell that awaits.  In a thread it raises :class:`KeyboardInterrupt` at the
next instruction of Python's, so not inside a function of C's that does not return, such as
``time.sleep(1000)``; a second interrupt leaves such a thread behind, to end with that function,
and gives the prompt back.
"""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import threading
import types
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pynode.process.blocking import Worker

from .cells import SHOW, SHOW_LATER, Cell, Compiler, error_text, syntax_error_text

if TYPE_CHECKING:
    from pynode.process.process import Process

    from .output import Output

__all__ = ["Evaluator"]

T = TypeVar("T")

_INTERRUPTED: Final = "KeyboardInterrupt\n"


class _Left(Exception):
    """The thread was left behind."""


class Evaluator:
    """Runs cells, one at a time.

    Args:
        process: the session's.
        output: takes what is shown, and the errors.
        names: the namespace; must be filled before the first cell.
        title: what tracebacks call the cells.
    """

    def __init__(self, process: Process, output: Output, names: dict[str, Any], title: str) -> None:
        self._process = process
        self._output = output
        self._names = names
        self._loop = process.runtime.loop
        self._compiler = Compiler(title)
        self._context = contextvars.copy_context()
        self._guard: _Guard | None = None
        self._left: asyncio.Future[None] | None = None
        self._task: asyncio.Task[Any] | None = None
        names[SHOW] = self._show
        names[SHOW_LATER] = self._show_later

    async def run(self, source: str) -> bool:
        """Evaluate ``source``; return whether it needs further lines first.

        Raises:
            SystemExit: the cell did.
        """
        try:
            outcome = await self._in_thread(lambda: self._evaluate(source))
            if isinstance(outcome, Cell):
                outcome = await self._on_loop(outcome.code)
        except _Left:
            self._output.write(
                "KeyboardInterrupt: it does not return to Python; its thread is left behind\n"
            )
            return False
        if isinstance(outcome, SystemExit):
            raise outcome
        if isinstance(outcome, BaseException):
            self._output.write(error_text(outcome))
        return outcome is False

    def interrupt(self) -> None:
        """Stop what runs, as far as Python allows."""
        self._output.discard()
        if self._task is not None:
            self._task.cancel()
        elif self._guard is not None:
            if not self._guard.interrupted:
                self._guard.interrupt()
                self._process.runtime.marshal.cancel(self._process)
            elif self._left is not None and not self._left.done():
                self._left.set_result(None)

    def close(self) -> None:
        """The session is over: stop what runs, and wait for nothing."""
        if self._task is not None:
            self._task.cancel()
        if self._guard is not None:
            self._guard.interrupt()
        self._compiler.forget()

    # ------------------------------------------------------------------ in the thread

    async def _in_thread(self, function: Callable[[], T]) -> T | BaseException | None:
        """Run ``function`` in the session's thread, where :meth:`interrupt` finds it."""
        extra = self._process.extra
        if extra.worker is None:
            extra.worker = Worker(self._process)
        guard = self._guard = _Guard()
        left = self._left = self._loop.create_future()
        done = extra.worker.submit(guard.run, (function,))
        try:
            await asyncio.wait({done, left}, return_when=asyncio.FIRST_COMPLETED)
            if not done.done():
                worker, extra.worker = extra.worker, None
                worker.close()
                done.cancel()
                raise _Left
            return done.result()
        finally:
            self._guard = self._left = None
            left.cancel()
            if not done.done():  # nobody waits for it any more
                guard.interrupt()

    def _evaluate(self, source: str) -> bool | Cell | SystemExit:
        """Compile and run; False: incomplete; a cell: to be run on the loop."""
        try:
            cell = self._compile(source)
        except (SyntaxError, ValueError, OverflowError, MemoryError, RecursionError) as error:
            self._output.write(syntax_error_text(error))
            return True
        if cell is None:
            return False
        if cell.awaits:
            return cell
        try:
            exec(cell.code, self._names)  # noqa: S102
        except BaseException as error:
            return self._failed(error)
        return True

    def _compile(self, source: str) -> Cell | None:
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("default")
            cell = self._compiler.compile(source)
        for each in found:
            self._output.write(f"{each.category.__name__}: {each.message}\n")
        return cell

    def _failed(self, error: BaseException) -> bool | SystemExit:
        """Show an error of a cell; one that is there to leave is returned."""
        if isinstance(error, SystemExit):
            return error
        if isinstance(error, asyncio.CancelledError):
            self._output.write(_INTERRUPTED)
        else:
            self._output.write(error_text(error))
        return True

    def _show(self, value: Any) -> None:
        """Show the value of an expression, and keep it as ``_``."""
        if value is None:
            return
        self._names["_"] = value
        text = repr(value)
        if asyncio.iscoroutine(value):
            text += "  # not run yet: write await before it"
        self._output.write(text + "\n")

    # ------------------------------------------------------------------ on the loop

    async def _on_loop(self, code: types.CodeType) -> bool | SystemExit:
        """Run the coroutine of a cell as a task; a cancelled one has been interrupted."""
        task = self._loop.create_task(
            self._guarded(code), name=f"pynode shell {self._process.pid!r}", context=self._context
        )
        self._task = task
        try:
            # Not by awaiting it: should the session end, that would wait for the cell's clean-up.
            await asyncio.wait({task})
        finally:
            self._task = None
            task.cancel()
        error = asyncio.CancelledError() if task.cancelled() else task.result()
        if error is None or isinstance(error, SystemExit):
            return error or True
        if isinstance(error, asyncio.CancelledError):
            self._output.write(_INTERRUPTED)
        else:
            await self._in_thread(lambda: self._failed(error))
        return True

    async def _guarded(self, code: types.CodeType) -> BaseException | None:
        """Return what the cell raises: out of a task, SystemExit would end the program's loop."""
        try:
            await types.FunctionType(code, self._names)()
        except BaseException as error:
            return error
        return None

    async def _show_later(self, value: Any) -> None:
        """Show a value from the loop: how it is written is worked out in the thread."""
        if value is not None:
            error = await self._in_thread(lambda: self._shown_error(value))
            if error is not None:
                raise error

    def _shown_error(self, value: Any) -> BaseException | None:
        try:
            self._show(value)
        except BaseException as error:
            return error
        return None


class _Guard:
    """One evaluation in a thread, which the loop can interrupt.

    The thread takes the lock for good when it is done, which takes back what is under way and
    refuses the rest.  The loop never waits for the lock: an interrupted thread may hold it.
    """

    def __init__(self) -> None:
        self._over = threading.RLock()
        self._thread: int | None = None
        #: An interrupt has been sent.
        self.interrupted = False

    def run(self, function: Callable[[], T]) -> T | BaseException | None:
        """Return what ``function`` returns, or the interrupt that came when it was over."""
        result: T | BaseException | None = None
        try:
            self._thread = threading.get_ident()
            if not self.interrupted:  # each side writes its own before it reads the other's
                result = function()
        except BaseException as error:  # an interrupt before or behind what function catches
            result = error
        while True:
            try:
                self._over.acquire()
                if self.interrupted:
                    _take_back()
                return result
            except KeyboardInterrupt:
                continue

    def interrupt(self) -> None:
        """Raise KeyboardInterrupt in the thread, at its next instruction."""
        self.interrupted = True
        if self._thread is not None and self._over.acquire(blocking=False):
            try:
                _raise_in(self._thread, KeyboardInterrupt)
            finally:
                self._over.release()


class _TakenBack(BaseException):
    """Raised in place of an interrupt that came too late."""


def _take_back() -> None:
    """Have no interrupt pending in this thread.

    Asking the interpreter to forget it would not do: until 3.13 that leaves a mark which has every
    thread look for something pending at each turn, for ever, and which hangs a tracer.  Only an
    exception that is raised takes the mark away.
    """
    try:
        _raise_in(threading.get_ident(), _TakenBack)
        while True:  # it comes at the next turn
            pass
    except _TakenBack:
        return


def _raise_in(thread: int, error: type[BaseException]) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(error))
