"""Supervisor and DynamicSupervisor: processes that start others and start them again.

::

    tree = await node.start(
        Supervisor,
        [ChildSpec(Counter, 10, name="counter"), (Worker, b"argument")],
        strategy="one_for_one",
    )

    class Tree(Supervisor, strategy="rest_for_one", max_restarts=5):
        def init(self, path):
            return [(Store, path), ChildSpec(Cache, name="cache"), (DynamicSupervisor,)]

    await node.start(Tree, "/var/lib/x", name="tree")

What a child can be: :mod:`pynode.behaviours.child_spec`.  A supervisor answers supervisor's own
requests, from this node and from others (``supervisor:which_children({tree, Node})``, Elixir's
``Supervisor`` and ``DynamicSupervisor``).  Children that another node asks for are named
``{M, F, Args}``, of what the program exposed, and policy is asked as about a spawn.

When it ends (its parent's exit, ``stop``, too many restarts, the stop of the node) it ends its
children first, in the reverse order of their start, each within its ``shutdown``.

What goes wrong is reported as OTP does, one record of ``pynode.process`` each, with the facts of
the report as the record's attribute ``report``, a dict: ``label``, ``supervisor``,
``errorContext``, ``reason``, ``offender``.

Source: stdlib's ``supervisor`` (25, 27, 29), Elixir's ``Supervisor``, ``DynamicSupervisor``.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Coroutine
from typing import Any, ClassVar, Final

from pynode.behaviours.child_spec import ChildSpec
from pynode.behaviours.dynamic_children import OwnSpecs, SimpleChildren
from pynode.behaviours.functions import may_run
from pynode.behaviours.gen import Caller
from pynode.behaviours.gen_server import GenServer, ServerBody
from pynode.behaviours.static_children import StaticChildren
from pynode.behaviours.supervised import Intensity, Reports
from pynode.behaviours.values import term_or_repr
from pynode.behaviours.words import ERROR, EXIT, GEN_CAST, GLOBAL, VIA
from pynode.errors import FunctionClause, StartError, Stop
from pynode.shown import shown
from pynode.terms import Atom, Pid, Reference, TermMap, charlist

__all__ = ["DynamicSupervisor", "Supervisor", "Tree"]

_log = logging.getLogger("pynode.process")
_TRY_AGAIN: Final = Atom("try_again_restart")
_SUPERVISOR: Final = Atom("supervisor")
_START_CHILD: Final = Atom("start_child")
_NOTSUP: Final = (ERROR, Atom("notsup"))
STRATEGIES: Final = ("one_for_one", "one_for_all", "rest_for_one", "simple_one_for_one")
AUTO_SHUTDOWNS: Final = ("never", "any_significant", "all_significant")

#: Requests ``{Word, Argument}``, and those that are a word: the methods that answer them.
_WITH_ARGUMENT: Final = {
    Atom(name): name
    for name in (
        "start_child",
        "terminate_child",
        "restart_child",
        "delete_child",
        "get_childspec",
        "which_child",
    )
}
_PLAIN: Final = {Atom(name): name for name in ("which_children", "count_children")}


class Tree(GenServer, module="supervisor"):
    """What both supervisors have in common."""

    _child_type: ClassVar[str] = "supervisor"

    #: The most restarts within ``max_seconds``; one more ends the supervisor.
    max_restarts: int = 3
    max_seconds: float = 5
    strategy: str = "one_for_one"
    auto_shutdown: str = "never"

    #: Set by the start.
    _reports: Reports
    _intensity: Intensity
    _kids: Any

    def __init_subclass__(
        cls,
        *,
        strategy: str | None = None,
        max_restarts: int | None = None,
        max_seconds: float | None = None,
        auto_shutdown: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init_subclass__(**kwargs)
        if cls._blocking:
            raise TypeError("a supervisor cannot be blocking=True; its children can")
        given = {
            "strategy": strategy,
            "max_restarts": max_restarts,
            "max_seconds": max_seconds,
            "auto_shutdown": auto_shutdown,
        }
        for name, value in given.items():
            if value is not None:
                setattr(cls, name, value)

    @classmethod
    async def start(cls, node: Any, *args: Any, **options: Any) -> Pid:
        """Start this supervisor on ``node``: the same as ``node.start(cls, ...)``."""
        pid: Pid = await node.start(cls, *args, **options)
        return pid

    @classmethod
    async def start_link(cls, node: Any, *args: Any, **options: Any) -> Pid:
        """Start this supervisor, linked to the acting process, its parent."""
        return await cls.start(node, *args, link=True, **options)

    @classmethod
    def _make_body(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> SupervisorBody:
        return SupervisorBody(cls, args, kwargs)

    # ----------------------------------------------------------------- for the children

    @property
    def _loop(self) -> SupervisorBody:
        """The loop of this supervisor."""
        body = self._body
        assert isinstance(body, SupervisorBody)  # noqa: S101
        return body

    def _is_alive(self, pid: Pid | None) -> bool:
        """Return whether a child's process lives, as far as this node knows."""
        runtime = self.process.runtime
        if pid is None:
            return False
        return runtime.local(pid) is not None if runtime.is_own(pid) else True

    def _is_dead(self, pid: Pid) -> bool:
        """Return whether ``pid`` is a process of this node that has ended."""
        runtime = self.process.runtime
        return runtime.is_own(pid) and runtime.local(pid) is None

    def _ask_again(self, key: Any) -> None:
        """Have a restart tried again after the messages that are there already."""
        process = self.process
        process.runtime.put(process, (GEN_CAST, (_TRY_AGAIN, self._loop.tag, key)))

    def _wards(self) -> list[Pid]:
        """Return the pids of the live children."""
        kids = getattr(self, "_kids", None)
        return [] if kids is None else kids.wards()

    # ----------------------------------------------------------------- start

    def _checked_flags(self) -> None:
        """Check the options.

        Raises:
            Stop: ``{supervisor_data, {invalid_strategy | ..., Value}}``.
        """
        for is_good, word, value in self._flags():
            if not is_good:
                shown_value = Atom(value) if isinstance(value, str) else term_or_repr(value)
                raise Stop((Atom("supervisor_data"), (Atom(f"invalid_{word}"), shown_value)))

    def _flags(self) -> list[tuple[bool, str, Any]]:
        restarts, seconds = self.max_restarts, self.max_seconds
        return [
            (_is_count(restarts), "intensity", restarts),
            (
                isinstance(seconds, int | float) and type(seconds) is not bool and seconds > 0,
                "period",
                seconds,
            ),
        ]

    def _make_kids(self) -> Any:
        raise NotImplementedError

    async def _supervise(self, children: Any) -> None:
        """Begin, with what ``init`` returned."""
        raise NotImplementedError

    def _prepare(self) -> None:
        """Make what the children need, from what ``init`` left in the attributes."""
        self._checked_flags()
        self._reports = Reports(self._report_name())
        self._intensity = Intensity(self.max_restarts, self.max_seconds)

    def _report_name(self) -> Any:
        name = self._body.name
        if name is None:
            return (self.pid, self._module)
        if type(name) is tuple:
            kind = {"global": GLOBAL, "via": VIA}.get(str(name[0]), name[0])
            return term_or_repr((kind, *name[1:]))
        return (Atom("local"), Atom(str(name)))

    # ----------------------------------------------------------------- messages

    async def handle_call(self, request: Any, caller: Caller) -> Any:
        """Answer supervisor's requests."""
        if type(request) is Atom and request in _PLAIN:
            return getattr(self._kids, _PLAIN[request])()
        if type(request) is tuple and len(request) == 2 and type(request[0]) is Atom:
            word, argument = request
            answer = getattr(self._kids, _WITH_ARGUMENT.get(word, ""), None)
            if answer is not None:
                if word == _START_CHILD:
                    lent = self._lent(argument)
                    if lent is argument and not self._may_start(caller.pid, argument):
                        return _NOTSUP
                    if lent is not argument:
                        return await self._start_lent(answer, argument, lent)
                return await answer(argument)
        raise FunctionClause(request)

    async def _start_lent(self, answer: Any, ref: Reference, given: Any) -> Any:
        """Start a child for a client of this node, which can be shown the exception itself."""
        loop = self._loop
        loop.failures = []
        try:
            answered = await answer(given)
            if loop.failures:
                loop.failed[ref] = loop.failures[-1]
            return answered
        finally:
            loop.failures = None

    def _lent(self, argument: Any) -> Any:
        """Return what a client of this node has left here instead of sending it."""
        if type(argument) is Reference:
            return self._loop.lent.pop(argument, argument)
        return argument

    def _may_start(self, asker: Pid, given: Any) -> bool:
        """Ask policy whether ``asker`` may have this child started."""
        mfa = self._named_start(given)
        return mfa is None or self._may_run(asker, *mfa)

    def _named_start(self, given: Any) -> tuple[Any, Any, int] | None:
        """Return the function that a given child names, with its arity."""
        if type(given) is dict or type(given) is TermMap:
            start = given.get(Atom("start"))
        elif type(given) is tuple and len(given) in (5, 6):
            start = given[len(given) - 5]
        else:
            return None
        if type(start) is tuple and len(start) == 3 and type(start[2]) is list:
            return start[0], start[1], len(start[2])
        return None

    def _may_run(self, asker: Pid, module: Any, function: Any, arity: int) -> bool:
        """Ask policy as about a spawn of ``module:function/arity`` by ``asker``."""
        return may_run(self.process.runtime, asker, (module, function, arity))

    async def handle_cast(self, request: Any) -> None:
        """Take one's own reminder of a restart."""
        match request:
            case (word, tag, key) if word == _TRY_AGAIN and tag == self._loop.tag:
                await self._kids.try_again(key)
            case _:
                raise FunctionClause(request)

    def handle_info(self, message: Any) -> Coroutine[Any, Any, None] | None:
        """Take the exit of a child."""
        if type(message) is tuple and len(message) == 3 and message[0] == EXIT:
            exited: Coroutine[Any, Any, None] = self._kids.exited(message[1], message[2])
            return exited
        _log.error("supervisor %r received unexpected message: %r", self.pid, shown(message))
        return None

    async def terminate(self, reason: Any) -> None:
        """End the children."""
        kids = getattr(self, "_kids", None)
        if kids is not None:
            await kids.terminate()

    # ----------------------------------------------------------------- sys

    def system_get_state(self) -> Any:
        """Return a map of what is supervised, for people; it is not supervisor's record."""
        kids = getattr(self, "_kids", None)
        return {
            Atom("strategy"): Atom(self.strategy),
            Atom("intensity"): self.max_restarts,
            Atom("period"): self.max_seconds,
            Atom("auto_shutdown"): Atom(self.auto_shutdown),
            Atom("module"): self._module,
            Atom("children"): [] if kids is None else kids.which_children(),
        }

    def system_replace_state(self, state: Any) -> None:
        """Refuse: what is supervised is changed by requests.

        Raises:
            TypeError: always.
        """
        raise TypeError("the state of a supervisor cannot be replaced")


class Supervisor(Tree, module="Elixir.Supervisor.Default"):
    """A supervisor of children with ids and an order.

    ``node.start(Supervisor, children, strategy=...)``, or a subclass whose ``init`` returns the
    children.  The options are those below, keywords of the start or of the subclass, or
    attributes that ``init`` sets.

    Args:
        children: see :class:`pynode.ChildSpec`.
        strategy: who is restarted with a child: "one_for_one" nobody, "one_for_all" all others,
            "rest_for_one" those started after it; "simple_one_for_one": one spec, of which
            ``start_child`` makes any number, with further arguments.
        max_restarts, max_seconds: more restarts than this many in so many seconds end the
            supervisor with ``shutdown``.
        auto_shutdown: end the supervisor when a ``significant`` child has ended by itself:
            "never", "any_significant", or after the last of them "all_significant".

    The start fails with ``{shutdown, {failed_to_start_child, Id, Reason}}`` if a child does not
    start, ``{supervisor_data, _}`` for an option, ``{start_spec, _}`` for a child.
    """

    def init(
        self,
        children: Any = (),
        *,
        strategy: str | None = None,
        max_restarts: int | None = None,
        max_seconds: float | None = None,
        auto_shutdown: str | None = None,
    ) -> Any:
        """Return the children."""
        given = (strategy, max_restarts, max_seconds, auto_shutdown)
        for name, value in zip(_OPTIONS, given, strict=True):
            if value is not None:
                setattr(self, name, value)
        return children

    @classmethod
    def child_spec(cls, *args: Any, **options: Any) -> ChildSpec:
        """Return this supervisor as a child of another."""
        return ChildSpec(cls, *args, **options)

    def _flags(self) -> list[tuple[bool, str, Any]]:
        return [
            (self.strategy in STRATEGIES, "strategy", self.strategy),
            *super()._flags(),
            (self.auto_shutdown in AUTO_SHUTDOWNS, "auto_shutdown", self.auto_shutdown),
        ]

    def _prepare(self) -> None:
        """Check the options, and make what the children need.

        Raises:
            Stop: ``{supervisor_data, _}``.
        """
        super()._prepare()
        is_simple = self.strategy == "simple_one_for_one"
        if is_simple and self.auto_shutdown != "never":
            options = [(Atom(name), Atom(getattr(self, name))) for name in _COMBINED]
            raise Stop((Atom("supervisor_data"), (Atom("bad_combination"), options)))
        self._kids = SimpleChildren(self) if is_simple else StaticChildren(self)

    async def _supervise(self, children: Any) -> None:
        """Start the children.

        Raises:
            Stop: one does not start, or ``init`` returned none.
        """
        if isinstance(children, str | bytes | dict) or not hasattr(children, "__iter__"):
            returned = term_or_repr(children)
            raise Stop((Atom("bad_return"), (self._module, Atom("init"), returned)))
        self._prepare()
        await self._kids.start(children)

    async def code_change(self, old_version: Any, extra: Any) -> None:
        """Take over what ``init`` returns now: options, changed and further specs.

        Raises:
            BadSpec: a spec is none.
        """
        args, kwargs = self._loop.arguments
        children = self.init(*args, **kwargs)
        if inspect.isawaitable(children):
            children = await children
        self._checked_flags()
        self._intensity.limit, self._intensity.period = self.max_restarts, self.max_seconds
        self._kids.replace_specs(children)


_OPTIONS: Final = ("strategy", "max_restarts", "max_seconds", "auto_shutdown")
_COMBINED: Final = ("auto_shutdown", "strategy")


class DynamicSupervisor(Tree, module="Elixir.DynamicSupervisor"):
    """A supervisor of children that are started on demand, of any specs; they have no ids.

    Args:
        max_restarts, max_seconds: as :class:`Supervisor` has them.
        max_children: more are refused with ``max_children``; None: any number.
        extra_arguments: go before the arguments of each child.
    """

    max_children: int | None = None
    extra_arguments: tuple[Any, ...] = ()

    def init(
        self,
        *,
        strategy: str = "one_for_one",
        max_restarts: int | None = None,
        max_seconds: float | None = None,
        max_children: int | None = None,
        extra_arguments: Any = (),
    ) -> Any:
        """Take the options; a subclass sets them as attributes."""
        self.strategy = strategy
        if max_restarts is not None:
            self.max_restarts = max_restarts
        if max_seconds is not None:
            self.max_seconds = max_seconds
        if max_children is not None:
            self.max_children = max_children
        self.extra_arguments = extra_arguments or self.extra_arguments

    @classmethod
    def child_spec(cls, *args: Any, **options: Any) -> ChildSpec:
        """Return this supervisor as a child of another."""
        return ChildSpec(cls, *args, **options)

    def _flags(self) -> list[tuple[bool, str, Any]]:
        limit, extra = self.max_children, self.extra_arguments
        return [
            (self.strategy == "one_for_one", "strategy", self.strategy),
            *super()._flags(),
            (limit is None or _is_count(limit), "max_children", limit),
            (isinstance(extra, list | tuple), "extra_arguments", extra),
        ]

    async def _supervise(self, children: Any) -> None:
        """Begin, without children.

        Raises:
            Stop: ``{supervisor_data, _}``.
        """
        self._prepare()
        self._kids = OwnSpecs(self)

    async def handle_cast(self, request: Any) -> None:
        """Take one's own reminder of a restart, and ignore other casts, as Elixir does."""
        try:
            await super().handle_cast(request)
        except FunctionClause:
            return


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


class SupervisorBody(ServerBody):
    """The loop of a supervisor."""

    __slots__ = ("arguments", "failed", "failures", "lent", "tag")

    cure = "what takes long is the work of a child"

    def __init__(self, cls: type[GenServer], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        super().__init__(cls, args, kwargs)
        self.arguments = (args, kwargs)
        #: Child specs, and their arguments, that callers of this node have left here.
        self.lent: dict[Reference, Any] = {}
        #: Of children that such a caller wanted, while one is started: why it failed.
        self.failures: list[StartError] | None = None
        #: The same, for the caller to fetch.
        self.failed: dict[Reference, StartError] = {}
        #: Marks one's own reminders; nobody else has it.
        self.tag: Reference

    @property
    def tree(self) -> Tree:
        """The supervisor."""
        instance = self.instance
        assert isinstance(instance, Tree)  # noqa: S101
        return instance

    def init_callbacks(self) -> Coroutine[Any, Any, None]:
        """Call ``init``, and start the children that it returns."""
        self.process.trap_exit = True
        self.tag = self.process.runtime.make_ref()
        return self._init()

    async def _init(self) -> None:
        args, kwargs = self.arguments
        children = self.instance.init(*args, **kwargs)
        if inspect.isawaitable(children):
            children = await children
        await self.tree._supervise(children)

    def wards(self) -> list[Pid]:
        """Return who is ended by this process, and in its order, when the node stops."""
        return self.tree._wards()

    def initial_call(self) -> tuple[Atom, Atom, int]:
        """Return ``{supervisor, Module, 1}``, by which supervisors are told from other servers."""
        return (_SUPERVISOR, self.callback_module(), 1)

    def system_status(self, suspended: bool) -> Any:
        """Return gen_server's, with what ``supervisor:get_callback_module/1`` looks for."""
        callback = (_SUPERVISOR, [(charlist("Callback"), self.callback_module())])
        return [*super().system_status(suspended), callback]
