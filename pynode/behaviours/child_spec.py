"""What a supervisor starts, and what it does when that ends.

A child is a class of servers, a coroutine function, a :class:`~pynode.behaviours.task.Task`, a
function that starts a process and returns its pid, or what a BEAM names as ``{M, F, Args}``::

    [Counter, (Worker, b"argument"), ChildSpec(Counter, 10, name="counter", restart="transient")]

Towards a BEAM a spec is supervisor's map, and its 6-tuple is understood too.  What a spec must
be, and what is said of one that is not, is in :func:`from_term`.

Source: stdlib's ``supervisor`` (``check_childspec``; 25, 27, 29), Elixir's ``Supervisor``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from pynode.behaviours.gen_event import GenEventHandler, GenEventManager
from pynode.behaviours.values import term_or_repr
from pynode.behaviours.words import INFINITY, UNDEFINED
from pynode.errors import PynodeError
from pynode.process.names import as_atom
from pynode.shown import shown
from pynode.terms import Atom, TermMap, copy_term

__all__ = ["BadSpec", "ChildSpec", "Mfa", "Starter", "child_spec", "from_term", "problem_of"]

RESTARTS: Final = ("permanent", "transient", "temporary")
TYPES: Final = ("worker", "supervisor")
BRUTAL_KILL: Final = "brutal_kill"
_DYNAMIC: Final = Atom("dynamic")
_START_LINK: Final = Atom("start_link")
#: Seconds that a worker has for its end, unless its spec says otherwise.
_WORKERS_SHUTDOWN: Final = 5.0
#: Milliseconds that a BEAM waits at most; a spec of a peer may say more.
_LONGEST: Final = 2**32 - 1


class _Default:
    def __repr__(self) -> str:
        return "by the type"


_DEFAULT: Final[Any] = _Default()


class BadSpec(PynodeError):
    """A child specification that is none; ``reason`` is what supervisor says of it."""

    def __init__(self, reason: Any) -> None:
        super().__init__(reason)
        self.reason: Final = reason

    def __str__(self) -> str:
        return f"{shown(self.reason)!r}"


class Mfa(NamedTuple):
    """A child by the name of an exposed function, or of a server class exposed under one."""

    module: Any
    function: Any


class Starter(NamedTuple):
    """A child by a function that runs in the supervisor and returns what it has started."""

    function: Callable[..., Any]


class ChildSpec:
    """One child of a supervisor.

    Args:
        target: a class that ``node.start`` takes; or ``async def body(process, *args)``; or
            ``Task``, followed by the function that it runs and the arguments of that.
        args, kwargs: for its ``init``, or for the function.  Python values, not copied.
        id: what tells it from its siblings, a term (a str is an atom); default: the name if that
            is a local one, else the class's ``module`` or the function's name.
        name: the name it is started under, as in ``node.start``.
        restart: "permanent" (always), "transient" (unless it ended normal, shutdown or
            ``{shutdown, _}``), "temporary" (never); default: permanent, a Task temporary.
        shutdown: the seconds it has to end when it is told to, then it is killed; None: for
            ever; "brutal_kill": it is killed at once.  Default: 5, a supervisor None.
        significant: its end by itself may end the supervisor, see ``auto_shutdown`` there.
        type: "worker" or "supervisor"; default: what the class is.
        modules: the callback modules for release handling: atoms, or "dynamic".
        start_timeout: seconds for its ``init``; default: no limit, as in OTP, where a child that
            does not get ready holds up its supervisor.

    Raises:
        ValueError: an option is none of these.
        TypeError: ``target`` is nothing that can be started.
    """

    __slots__ = (
        "args",
        "id",
        "kwargs",
        "modules",
        "name",
        "restart",
        "shutdown",
        "significant",
        "start_timeout",
        "target",
        "type",
    )

    def __init__(
        self,
        target: Any,
        /,
        *args: Any,
        id: Any = None,
        name: Any = None,
        restart: str | None = None,
        shutdown: float | str | None = _DEFAULT,
        significant: bool = False,
        type: str | None = None,
        modules: Iterable[Atom | str] | str | None = None,
        start_timeout: float | None = None,
        **kwargs: Any,
    ) -> None:
        if not _can_start(target):
            raise TypeError(
                f"a child is a server class, a coroutine function or a Task, not {target!r}; a "
                "function that starts one and returns its pid goes into ChildSpec.calling"
            )
        self.target = target
        self.args = args
        self.kwargs = kwargs
        self.name = name
        self.restart = str(restart or getattr(target, "_child_restart", "permanent"))
        self.type = str(type or getattr(target, "_child_type", "worker"))
        if shutdown is _DEFAULT:
            shutdown = None if self.type == "supervisor" else _WORKERS_SHUTDOWN
        self.shutdown = str(shutdown) if isinstance(shutdown, Atom) else shutdown
        self.significant = significant
        self.modules = _modules_of(target) if modules is None else _modules(modules)
        self.start_timeout = start_timeout
        if id is None:
            id = name if isinstance(name, str | Atom) else _name_of(target)
        self.id = Atom(id) if isinstance(id, str) else copy_term(id)
        problem = problem_of(self)
        if problem is not None:
            raise ValueError(f"not a child specification: {shown(problem)!r}")

    @classmethod
    def calling(cls, function: Callable[..., Any], *args: Any, **options: Any) -> ChildSpec:
        """Return the spec of a child that ``function(*args)`` starts.

        The function, plain or async, runs in the supervisor and returns the pid, of any node;
        None or ``Ignore`` for no child.  What it raises is why the child did not start.
        """
        return cls(Starter(function), *args, **options)

    @classmethod
    def mfa(
        cls, module: Atom | str, function: Atom | str, args: Iterable[Any] = (), **options: Any
    ) -> ChildSpec:
        """Return the spec of a child by the name under which it is exposed.

        See ``resolver.expose``: a server class, or a function that returns a pid, ``{ok, Pid}``,
        ``{ok, Pid, Info}``, ``ignore`` or ``{error, Reason}``.  This form can be sent to
        supervisors of other nodes.
        """
        return cls(Mfa(as_atom(module), as_atom(function)), *args, **options)

    def replace(self, **changes: Any) -> ChildSpec:
        """Return this spec with other options (``Supervisor.child_spec/2``)."""
        options = {name: getattr(self, name) for name in _OPTIONS}
        return ChildSpec(self.target, *self.args, **(options | self.kwargs | changes))

    def with_arguments(self, *args: Any) -> ChildSpec:
        """Return this spec with other arguments."""
        options = {name: getattr(self, name) for name in _OPTIONS}
        return ChildSpec(self.target, *args, **options, **self.kwargs)

    def start_term(self, extra: Iterable[Any] = ()) -> tuple[Any, Any, list[Any]]:
        """Return ``{Module, Function, Args}``; what is no term is shown as its repr."""
        module, function = _start_name(self.target)
        return module, function, [term_or_repr(each) for each in (*self.args, *extra)]

    def to_term(self) -> dict[Any, Any]:
        """Return supervisor's map of this spec."""
        return {
            Atom("id"): term_or_repr(self.id),
            Atom("start"): self.start_term(),
            Atom("restart"): Atom(self.restart),
            Atom("significant"): self.significant,
            Atom("shutdown"): self.shutdown_term(),
            Atom("type"): Atom(self.type),
            Atom("modules"): self.modules,
        }

    def shutdown_term(self) -> Any:
        """Return ``brutal_kill``, ``infinity`` or milliseconds."""
        if self.shutdown is None:
            return INFINITY
        if isinstance(self.shutdown, str):
            return Atom(self.shutdown)
        return round(self.shutdown * 1000)

    def __repr__(self) -> str:
        return f"<ChildSpec {shown(self.id)!r} {self.target!r} {self.restart}>"


_OPTIONS: Final = (
    "id",
    "name",
    "restart",
    "shutdown",
    "significant",
    "type",
    "modules",
    "start_timeout",
)


def child_spec(child: Any) -> ChildSpec:
    """Return the spec that ``child`` is, or stands for.

    ``child`` is a :class:`ChildSpec`; a target by itself, or ``(target, argument, ...)``; or a
    spec as Erlang writes it.  A class may say more of itself by a class method
    ``child_spec(*args)``, as Elixir's modules do.

    Raises:
        BadSpec: it is none of these.
    """
    if isinstance(child, ChildSpec):
        return child
    if type(child) is tuple and child and _can_start(child[0]):
        target, args = child[0], child[1:]
    elif _can_start(child):
        target, args = child, ()
    else:
        return from_term(child)
    own = getattr(target, "child_spec", None)
    made = ChildSpec(target, *args) if own is None else own(*args)
    if not isinstance(made, ChildSpec):
        raise BadSpec((Atom("invalid_child_spec"), term_or_repr(made)))
    return made


def _can_start(target: Any) -> bool:
    return (
        hasattr(target, "_make_body")
        or hasattr(target, "_start_child")
        or isinstance(target, Mfa | Starter)
        or inspect.iscoroutinefunction(target)
    )


def _start_name(target: Any) -> tuple[Any, Any]:
    """Return the module and the function that stand for a target in terms."""
    if isinstance(target, Mfa):
        return target
    if isinstance(target, Starter):
        target = target.function
    elif not inspect.iscoroutinefunction(target):
        return _name_of(target), _START_LINK
    module = getattr(target, "__module__", None) or "python"
    name = getattr(target, "__qualname__", None) or type(target).__qualname__
    return Atom(str(module)[-255:]), Atom(str(name)[-255:])


def _name_of(target: Any) -> Any:
    """Return the atom that stands for a target: the default id."""
    if isinstance(target, Mfa):
        return target.module
    own = getattr(target, "_module", None)
    if own is not None:
        return own
    name = target.function if isinstance(target, Starter) else target
    return Atom(str(getattr(name, "__name__", None) or type(name).__name__)[-255:])


def _modules_of(target: Any) -> Any:
    if isinstance(target, type) and issubclass(target, GenEventManager | GenEventHandler):
        return _DYNAMIC
    return [_start_name(target)[0]]


def _modules(modules: Iterable[Atom | str] | str | Atom) -> Any:
    if isinstance(modules, str | Atom):
        return Atom(str(modules))
    return [as_atom(module) for module in modules]


# --------------------------------------------------------------------------- checks


def problem_of(spec: ChildSpec, auto_shutdown: str | None = None) -> Any:
    """Return what supervisor says of a spec that it does not take, None of one that it takes."""
    if spec.restart not in RESTARTS:
        return (Atom("invalid_restart_type"), _word(spec.restart))
    if type(spec.significant) is not bool:
        return (Atom("invalid_significant"), term_or_repr(spec.significant))
    if spec.significant and auto_shutdown == "never":
        return _combination("auto_shutdown", "never")
    if spec.significant and spec.restart == "permanent":
        return _combination("restart", "permanent")
    if spec.type not in TYPES:
        return (Atom("invalid_child_type"), _word(spec.type))
    if not _is_shutdown(spec.shutdown):
        return (Atom("invalid_shutdown"), term_or_repr(spec.shutdown))
    return None


def _combination(option: str, value: str) -> Any:
    return (
        Atom("bad_combination"),
        [(Atom(option), Atom(value)), (Atom("significant"), True)],
    )


def _word(value: Any) -> Any:
    return Atom(value) if isinstance(value, str) else term_or_repr(value)


def _is_shutdown(value: Any) -> bool:
    if isinstance(value, str):
        return value == BRUTAL_KILL
    if type(value) is bool:
        return False
    return value is None or (isinstance(value, int | float) and value >= 0)


# --------------------------------------------------------------------------- specs of Erlang

_KEYS: Final = ("id", "start", "restart", "shutdown", "type", "modules")


def from_term(term: Any) -> ChildSpec:
    """Return the spec that supervisor's map or 6-tuple says.

    Raises:
        BadSpec: ``missing_id``, ``missing_start``, ``{invalid_mfa, _}``,
            ``{invalid_restart_type, _}``, ..., ``{invalid_child_spec, Term}``, as in OTP.
    """
    if type(term) is tuple and len(term) == len(_KEYS):
        fields = dict(zip(_KEYS, term, strict=True))
    elif type(term) is dict or type(term) is TermMap:
        fields = {str(key): value for key, value in term.items() if type(key) is Atom}
        for name in ("id", "start"):
            if name not in fields:
                raise BadSpec(Atom(f"missing_{name}"))
    else:
        raise BadSpec((Atom("invalid_child_spec"), term_or_repr(term)))
    return from_fields(fields)


def from_fields(fields: dict[str, Any]) -> ChildSpec:
    """Return the spec of a map's fields, by the names of its keys; see :func:`from_term`."""
    module, function, args = _mfa(fields["start"])
    made = ChildSpec(Mfa(module, function), *args, id=Atom("child"))
    made.id = fields.get("id", UNDEFINED)
    made.restart = _text(fields.get("restart", Atom("permanent")))
    made.significant = fields.get("significant", False)
    made.type = _text(fields.get("type", Atom("worker")))
    default = INFINITY if made.type == "supervisor" else 5000
    made.shutdown, wrong = _seconds(fields.get("shutdown", default))
    problem = problem_of(made)
    if problem is not None:
        raise BadSpec(problem)
    if wrong:
        raise BadSpec((Atom("invalid_shutdown"), fields["shutdown"]))
    made.modules = _checked_modules(fields.get("modules", [module]))
    return made


def _mfa(start: Any) -> tuple[Any, Any, list[Any]]:
    if (
        type(start) is tuple
        and len(start) == 3
        and type(start[0]) is Atom
        and type(start[1]) is Atom
        and type(start[2]) is list
    ):
        return start
    raise BadSpec((Atom("invalid_mfa"), start))


def _text(value: Any) -> Any:
    return str(value) if type(value) is Atom else value


def _seconds(shutdown: Any) -> tuple[Any, bool]:
    """Return a term's shutdown as a spec has it, and whether it is none."""
    if type(shutdown) is Atom:
        if shutdown == INFINITY:
            return None, False
        return BRUTAL_KILL, str(shutdown) != BRUTAL_KILL
    if type(shutdown) is int and shutdown >= 0:
        return min(shutdown, _LONGEST) / 1000, False
    return 0, True


def _checked_modules(modules: Any) -> Any:
    if modules == _DYNAMIC:
        return modules
    if type(modules) is not list:
        raise BadSpec((Atom("invalid_modules"), modules))
    for module in modules:
        if type(module) is not Atom:
            raise BadSpec((Atom("invalid_module"), module))
    return modules
