"""rpc's calls of named servers: a plain message to each, an answer or a DOWN from each.

``{self(), Msg}`` goes to the name on every node, whose answer is ``{Wrapper, Node, Reply}``.
``rex`` is one of these servers: ``sbcast`` has it pass a message on, and say whether it could.
Answers name no request, so each of these runs in a process that exists for them alone.

Source: rpc.erl, ``server_call/4``, ``multi_server_call/3``, ``sbcast/3``.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from pynode.behaviours.gen import call_exit
from pynode.errors import NameError_, PeerBusy
from pynode.process.words import DOWN
from pynode.terms import Atom, atom

if TYPE_CHECKING:
    from pynode.process.process import Process

__all__ = ["ask_all", "ask_one", "broadcast"]

_REX: Final = atom.rex
_NONEXISTING: Final = atom.nonexisting_name
_MISSING: Final = object()


async def ask_all(
    helper: Process,
    nodes: list[Atom],
    name: Atom,
    wrapper: Any,
    message: Any,
    *,
    timeout: float | None = None,
) -> dict[Atom, Any]:
    """Ask the server ``name`` on every node at once; return the answers of those that have one."""
    runtime = helper.runtime
    waiting: dict[Any, Atom] = {}
    for node in dict.fromkeys(nodes):
        waiting[runtime.monitor(helper, (name, node))] = node
        with suppress(NameError_, PeerBusy):  # its DOWN, or the timeout, tells
            runtime.send(helper, (name, node), (helper.pid, message))
    answers: dict[Atom, Any] = {}
    deadline = None if timeout is None else runtime.loop.time() + timeout
    while len(answers) < len(waiting):
        left = None if deadline is None else max(0.0, deadline - runtime.loop.time())
        try:
            got = await helper.receive(timeout=left)
        except TimeoutError:
            break
        match got:
            case (word, ref, _, _, _) if word == DOWN and ref in waiting:
                answers.setdefault(waiting[ref], _MISSING)
            case (word, node, reply) if word == wrapper and node in waiting.values():
                answers.setdefault(node, reply)
    return {node: reply for node, reply in answers.items() if reply is not _MISSING}


async def ask_one(
    helper: Process,
    node: Atom,
    name: Atom,
    wrapper: Any,
    message: Any,
    *,
    timeout: float | None = None,
) -> Any:
    """Ask one server; see :func:`ask_all`.

    Raises:
        NoProcess, NoConnection, CallExit: it is not there, or ended before it answered.
        CallTimeout: no answer in time.
    """
    runtime = helper.runtime
    watch = runtime.monitor(helper, (name, node))
    with suppress(NameError_):
        runtime.send(helper, (name, node), (helper.pid, message))

    def answer(got: Any) -> bool:
        match got:
            case (word, ref, _, _, _) if word == DOWN:
                return bool(ref == watch)
            case (word, where, _):
                return bool(word == wrapper and where == node)
        return False

    try:
        got = await helper.receive(answer, timeout=timeout)
    except TimeoutError:
        raise call_exit(atom.timeout) from None
    if len(got) == 5:
        raise call_exit(got[4])
    return got[2]


async def broadcast(
    helper: Process, nodes: list[Atom], name: Atom, message: Any, *, timeout: float | None = None
) -> tuple[list[Atom], list[Atom]]:
    """``sbcast``: return the nodes where ``name`` has got the message, and the others."""
    sent = (atom.sbcast, name, message)
    answers = await ask_all(helper, nodes, _REX, _REX, sent, timeout=timeout)

    def reached(node: Atom) -> bool:
        match answers.get(node, _MISSING):
            case (word, _) if word == _NONEXISTING:
                return False
            case other:
                return other is not _MISSING

    return [node for node in nodes if reached(node)], [node for node in nodes if not reached(node)]
