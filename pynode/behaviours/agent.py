"""Agent: a process that holds a state, and functions that read and change it.

In Python the functions are callables::

    agent = await node.start(Agent, dict)
    await update(process, agent, lambda state: state | {"a": 1})
    await get(process, agent, len)

Between nodes they are ``(module, function, arguments)`` or an :class:`ExportFun` (in Elixir a
capture such as ``&Function.identity/1``), both ways: an agent runs those of its ``functions``
table, and of what its program exposed, as far as policy lets others run it; towards a BEAM, the
client functions here send them as Elixir does.  The state is the first argument.

A closure from a BEAM cannot run here.  It, and a function nobody exposed, is refused: the caller
exits with a reason that says why (``{closure_refused, Text}``, ``{undef, Stack}``, ``notsup``),
the agent and its state stay.  An exposed function that raises ends the agent, as in Elixir.

Source: Elixir's ``Agent`` and ``Agent.Server`` (1.14 to 1.20).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from types import CoroutineType, MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias

from pynode.behaviours import gen
from pynode.behaviours.functions import FunctionRefused, Functions, resolve_function, resolve_name
from pynode.behaviours.gen_server import GenServer, ServerBody
from pynode.behaviours.names import ServerRef, look_up
from pynode.behaviours.values import term_or_repr
from pynode.behaviours.words import OK
from pynode.errors import NO_REPLY, EncodeError, FunctionClause, Stop
from pynode.terms import Atom, ExportFun, OpaqueFun, Pid

if TYPE_CHECKING:
    from pynode.process.process import Process

__all__ = ["Agent", "agent_cast", "get", "get_and_update", "update"]

_log = logging.getLogger("pynode.process")

_GET: Final = Atom("get")
_UPDATE: Final = Atom("update")
_GET_AND_UPDATE: Final = Atom("get_and_update")
_CAST: Final = Atom("cast")

Function: TypeAlias = "Callable[..., Any] | ExportFun | tuple[Any, Any, list[Any]]"
"""A callable (local agents only), an ExportFun, or ``(module, function, arguments)``."""


class Agent(GenServer, module="Elixir.Agent.Server"):
    """The server.  ``node.start(Agent, initial)``, where ``initial`` is a callable or a value.

    ``functions``, of the class or of the start, is the table of what callers may name:
    ``{(module, function, arity): callable}``; the arity counts the state.  See
    :func:`pynode.behaviours.functions.map_functions`.
    """

    functions: Functions = MappingProxyType({})
    state: Any
    _module: ClassVar[Atom]

    async def init(self, initial: Any = None, *, functions: Functions | None = None) -> None:
        """Make the first state; ``initial`` may be an async callable too."""
        if functions is not None:
            self.functions = functions
        state = initial() if callable(initial) else initial
        self.state = await state if type(state) is CoroutineType else state

    # ----------------------------------------------------------------- requests

    def handle_call(self, request: Any, caller: gen.Caller) -> Any:
        """``{get | update | get_and_update, Fun | {M, F, A}}``."""
        if type(request) is not tuple or len(request) != 2:
            raise FunctionClause(request)
        kind = request[0]
        if type(kind) is not Atom or kind not in _KINDS:
            raise FunctionClause(request)
        try:
            function, arguments = self._resolve(request[1], caller.pid)
        except FunctionRefused as refused:
            self._refuse(caller, refused)
            return NO_REPLY
        result = function(self.state, *arguments)
        if type(result) is CoroutineType:
            return self._conclude_async(kind, result)
        return self._conclude(kind, result)

    def handle_cast(self, request: Any) -> Any:
        """``{cast, Fun | {M, F, A}}``."""
        if type(request) is not tuple or len(request) != 2 or request[0] != _CAST:
            raise FunctionClause(request)
        try:
            function, arguments = self._resolve(request[1], None)
        except FunctionRefused as refused:
            _log.warning("%r ignored a cast: %s", self._body.process, refused)
            return None
        result = function(self.state, *arguments)
        if type(result) is CoroutineType:
            return self._conclude_async(_CAST, result)
        self._conclude(_CAST, result)
        return None

    def _conclude(self, kind: Atom, result: Any) -> Any:
        """Take over the new state, return the reply."""
        if kind == _GET:
            return result
        if kind == _GET_AND_UPDATE:
            if type(result) is not tuple or len(result) != 2:
                raise Stop((Atom("bad_return_value"), term_or_repr(result)))
            reply, self.state = result
            return reply
        self.state = result
        return OK

    async def _conclude_async(self, kind: Atom, running: Any) -> Any:
        return self._conclude(kind, await running)

    def _resolve(self, what: Any, asker: Any) -> tuple[Callable[..., Any], list[Any]]:
        runtime = self._body.process.runtime
        if type(what) is tuple and len(what) == 3 and type(what[2]) is list:
            module, function, arguments = what
            found = resolve_name(
                runtime, asker, module, function, len(arguments) + 1, self.functions
            )
            return found, arguments
        lent = self._lent().pop(what, None) if type(what) is OpaqueFun else None
        return lent or resolve_function(runtime, asker, what, 1, self.functions), []

    def _lent(self) -> dict[OpaqueFun, Callable[..., Any]]:
        body: Any = self._body
        found: dict[OpaqueFun, Callable[..., Any]] = body.lent
        return found

    def _refuse(self, caller: gen.Caller, refused: FunctionRefused) -> None:
        """Make the call fail in the caller, as if the agent had ended with that reason."""
        process = self._body.process
        ref = gen.monitor_of(caller.tag)
        if ref is None or not process.runtime.monitors.answer_down(process, ref, refused.reason):
            _log.warning("%r could not refuse a call of %r: %s", process, caller.pid, refused)

    # ----------------------------------------------------------------- sys

    def system_get_state(self) -> Any:
        """Return the state."""
        return term_or_repr(self.state)

    def system_replace_state(self, state: Any) -> None:
        """Replace the state."""
        self.state = state

    @classmethod
    def _make_body(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ServerBody:
        return AgentBody(cls, args, kwargs)


_KINDS: Final = frozenset({_GET, _UPDATE, _GET_AND_UPDATE})


class AgentBody(ServerBody):
    """The loop of an agent; holds the callables that callers of this node have lent to it."""

    __slots__ = ("lent",)

    cure = "what takes long is computed by the caller, and the agent given the result"

    def __init__(self, cls: type[GenServer], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        super().__init__(cls, args, kwargs)
        #: A fun as it stands in a message -> the callable.  Gone with the agent.
        self.lent: dict[OpaqueFun, Callable[..., Any]] = {}

    def _no_term(self, error: EncodeError) -> EncodeError:
        text = f"what a function of {type(self.instance).__qualname__} returned is no term: {error}"
        return EncodeError(text, callback=(self.callback_module(), Atom("handle_call"), 3))


# --------------------------------------------------------------------------- client


async def get(
    process: Process,
    agent: ServerRef,
    function: Function,
    timeout: float | None = gen.DEFAULT_TIMEOUT,
    *,
    text: bool = False,
) -> Any:
    """Return ``function(state)``; the state stays.  For errors see :func:`pynode.call`."""
    return await _ask(process, agent, _GET, function, timeout, text)


async def update(
    process: Process,
    agent: ServerRef,
    function: Function,
    timeout: float | None = gen.DEFAULT_TIMEOUT,
) -> None:
    """Make ``function(state)`` the state."""
    await _ask(process, agent, _UPDATE, function, timeout, False)


async def get_and_update(
    process: Process,
    agent: ServerRef,
    function: Function,
    timeout: float | None = gen.DEFAULT_TIMEOUT,
    *,
    text: bool = False,
) -> Any:
    """``function(state)`` is ``(reply, new_state)``; return the reply."""
    return await _ask(process, agent, _GET_AND_UPDATE, function, timeout, text)


def agent_cast(process: Process, agent: ServerRef, function: Function) -> None:
    """Make ``function(state)`` the state, some time later; a missing agent is no error."""
    fun = _lend(process, agent, function)
    gen.cast(process, agent, (_CAST, _term(function) if fun is None else fun))


async def _ask(
    process: Process,
    agent: ServerRef,
    kind: Atom,
    function: Function,
    timeout: float | None,
    text: bool,
) -> Any:
    fun = _lend(process, agent, function)
    try:
        return await gen.call(
            process, agent, (kind, _term(function) if fun is None else fun), timeout, text=text
        )
    finally:
        if fun is not None:
            local = _local_process(process, agent)
            if local is not None and isinstance(local.body, AgentBody):
                local.body.lent.pop(fun, None)


def _lend(process: Process, agent: ServerRef, function: Function) -> OpaqueFun | None:
    """Return the fun that stands for a callable in a message to an agent of this node.

    Raises:
        TypeError: the server is on another node, or no agent.
    """
    if not callable(function):
        return None
    local = _local_process(process, agent)
    if local is not None and isinstance(local.body, AgentBody):
        fun = _fun_of(process)
        local.body.lent[fun] = function
        return fun
    if local is None and _is_here(process, agent):
        return _fun_of(process)  # nobody there: the call or cast itself tells, or ignores it
    raise TypeError(
        f"a Python callable cannot be sent to {agent!r}; use (module, function, arguments) or an "
        "ExportFun of a function that the agent knows"
    )


def _term(function: Any) -> Any:
    """Write the module and the function of ``(module, function, arguments)`` as atoms."""
    if type(function) is tuple and len(function) == 3:
        module, name, arguments = function
        return (_atom(module), _atom(name), arguments)
    return function


def _atom(name: Any) -> Any:
    return Atom(name) if isinstance(name, str) else name


def _fun_of(process: Process) -> OpaqueFun:
    """A fun of this node as a term; nobody can guess another's."""
    return OpaqueFun(Atom("pynode"), 1, 0, os.urandom(16), 0, 0, process.pid)


def _local_process(process: Process, agent: ServerRef) -> Process | None:
    runtime = process.runtime
    target = look_up(process, agent)
    if type(target) is Atom:
        target = runtime.whereis(target)
    return runtime.local(target) if type(target) is Pid else None


def _is_here(process: Process, agent: ServerRef) -> bool:
    target = look_up(process, agent)
    if type(target) is Pid:
        return process.runtime.is_own(target)
    return type(target) is not tuple
