"""What a remote error says, in the words of the node where it was raised.

A reason is a term, and its text is made from it: by the exception's module, which is there and
not here, or by Elixir's and Erlang's tables of what ``badarith`` and ``{badmatch, _}`` mean.  So
that node is asked, by one more call: ``'Elixir.Exception':format_banner/3``, which gives the
exception's name and its message, or, where there is no Elixir, ``erl_error:format_exception/3``.
Reasons of Python's own carry both, and nobody is asked; nor is anybody about a thrown term, which
is a value.

Source: Elixir's ``Exception``; stdlib's ``erl_error``; :mod:`pynode.process.reasons`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from pynode.errors import PynodeError, RemoteError
from pynode.process.stacks import read_exception
from pynode.terms import Atom, atom, charlist_text, elixir

if TYPE_CHECKING:
    from pynode.process.process import Process

__all__ = ["LONGEST", "describe", "is_described"]

#: Seconds that the words may take, where the call itself has more.
LONGEST: Final = 5.0

_EXCEPTION: Final = elixir("Exception")
# re compiles each when it is first used, and remembers it.
_BANNER: Final = r"(?s)\*\* \((.+?)\) (.*)"
_ERL_HEAD: Final = r"exception (?:error|exit): ?"
_ERL_STACK: Final = r"\n  in (?:function|operator|call from) "
_ERL_HINT: Final = r"^ +\*\*\* (.+)$"


def is_described(error: RemoteError) -> bool:
    """Set what the reason itself tells; return whether nobody has to be asked for more."""
    return error.kind == "throw" or read_exception(error) or error.node is None


async def describe(process: Process, error: RemoteError, timeout: float | None) -> None:
    """Set the words of ``error``, by asking its node as ``process``; fails in silence.

    ``timeout`` is what is left of the call's, in seconds; there is no more than :data:`LONGEST`.
    """
    if is_described(error) or error.node == process.runtime.node_name:
        return
    loop = process.runtime.loop
    deadline = loop.time() + (LONGEST if timeout is None else min(timeout, LONGEST))
    kind = atom(error.kind)
    stack = error.stack if isinstance(error.stack, list) else []
    arguments = [kind, error.reason, stack]
    asked = ((_EXCEPTION, "format_banner", _banner), (atom.erl_error, "format_exception", _erlang))
    for module, function, read in asked:
        left = deadline - loop.time()
        if left <= 0:
            return
        try:
            answer = await _ask(process, error.node, module, atom(function), arguments, left)
            if read(error, charlist_text(answer)):
                return
        except (PynodeError, ValueError):
            continue  # no such module there; or no answer, or one that is no text


async def _ask(
    process: Process, node: Atom, module: Atom, function: Atom, args: list[Any], timeout: float
) -> Any:
    runtime = process.runtime
    ref = runtime.make_ref()
    call = [ref, module, function, args]
    with runtime.open_spawn(process, node, atom.erpc, atom.execute_call, call) as slot:
        match await slot.wait(timeout):
            case (first, word, answer) if first == ref and word == atom("return"):
                return answer
    raise ValueError("no answer")


def _banner(error: RemoteError, text: str) -> bool:
    """``** (ArgumentError) what is wrong``; of an exit, ``** (exit) why``."""
    found = re.fullmatch(_BANNER, text)
    if found is None:
        return False
    name = found[1]
    error.describe(None if error.kind == "exit" and name == "exit" else name, found[2])
    return True


def _erlang(error: RemoteError, text: str) -> bool:
    """``exception error: what is wrong``, then the stack, with hints about arguments in it."""
    head = re.match(_ERL_HEAD, text)
    if head is None:
        return False
    end = re.search(_ERL_STACK, text)
    message = text[head.end() : None if end is None else end.start()].strip()
    hints = [] if end is None else re.findall(_ERL_HINT, text[end.start() :], re.MULTILINE)
    error.describe(error.exception, ": ".join([message, "; ".join(hints)] if hints else [message]))
    return True
