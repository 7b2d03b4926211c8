"""What other nodes may run here: functions that the program has exposed, and nothing else.

A table of the program's own, and behind it the functions that every node has, which the program
can cover but not take away.  :class:`Exports` gathers functions beside their definitions;
:func:`functions_of` says which callables of a module or an object are meant.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any, Final, NamedTuple, TypeVar, overload

from pynode.process.names import as_atom
from pynode.terms import Atom

__all__ = ["Exports", "Exposed", "Resolver", "functions_of"]

_ERROR_INFO = Atom("error_info")
_CAUSE = Atom("cause")

F = TypeVar("F", bound=Callable[..., Any])


class Exposed(NamedTuple):
    """One function that other nodes may run."""

    function: Callable[..., Any]
    blocking: bool
    """Run in a thread of the process's own."""
    text: bool = False
    """UTF-8 binaries in the arguments become str."""


class Resolver:
    """Module, function and arity to a Python callable; empty at first."""

    __slots__ = ("_any_arity", "_built_in", "_table", "otherwise")

    def __init__(self) -> None:
        self._table: dict[tuple[Atom, Atom, int], Exposed] = {}
        #: With the least number of arguments.
        self._any_arity: dict[tuple[Atom, Atom], tuple[int, Exposed]] = {}
        self._built_in: dict[tuple[Atom, Atom, int], Exposed] = {}
        #: Asked for what is in none of the tables.
        self.otherwise: Callable[[Atom, Atom, int], Exposed | None] | None = None

    def expose(
        self,
        function: Callable[..., Any],
        *,
        module: Atom | str,
        name: Atom | str | None = None,
        arity: int | Iterable[int] | None = None,
        blocking: bool | None = False,
        text: bool = False,
    ) -> None:
        """Let other nodes run ``function`` as ``module:name/arity``.

        It runs in a process of its own, as that process; plain, or a coroutine function.  What it
        raises ends that process, :class:`pynode.errors.Exit` with its reason.  What was exposed
        under the same name and arity before is replaced.

        Args:
            function: called with the arguments as they are decoded (binaries are bytes).
            module: an Erlang module, or an Elixir one by :func:`pynode.terms.elixir`.
            name: by default the function's own.
            arity: one or several; by default what its signature takes.
            blocking: run it in a thread; None: in a thread unless it is a coroutine function.
            text: UTF-8 binaries in the arguments become str.

        Raises:
            TypeError: ``function`` cannot be called, or ``arity`` is no number.
            ValueError: no arity is given and the signature cannot be read, or demands arguments
                by keyword, which no call of Erlang has.
        """
        if not callable(function):
            raise TypeError(f"{function!r} cannot be called, and so not be exposed")
        named = getattr(function, "__name__", None) if name is None else name
        if named is None:
            raise ValueError(f"{function!r} has no name of its own: give one")
        key = as_atom(module), as_atom(named)
        in_thread = not _is_async(function) if blocking is None else blocking
        exposed = Exposed(function, in_thread, text)
        arities: Iterable[int] | _AtLeast
        if arity is None:
            arities = _arities(function)
        else:
            arities = _given_arities(arity)
        if isinstance(arities, _AtLeast):
            self._any_arity[key] = arities.least, exposed
        else:
            for number in arities:
                self._table[(*key, number)] = exposed

    def build_in(self, module: str, name: str, arity: int, function: Callable[..., Any]) -> None:
        """Add a function that every node has; it runs on the loop."""
        self._built_in[Atom(module), Atom(name), arity] = Exposed(function, False)

    def withdraw(self, module: Atom | str, name: Atom | str | None = None) -> None:
        """Take back what was exposed as ``module:name``, of every arity; or the whole module."""
        key = (as_atom(module),) if name is None else (as_atom(module), as_atom(name))
        tables: tuple[dict[Any, Any], ...] = (self._table, self._any_arity)
        for table in tables:
            for entry in [entry for entry in table if entry[: len(key)] == key]:
                del table[entry]

    def entry(self, module: Any, function: Any, arity: int) -> Exposed | None:
        """Return what is exposed as ``module:function/arity``, None for everything else."""
        if type(module) is not Atom or type(function) is not Atom:
            return None
        found = self._table.get((module, function, arity))
        if found is not None:
            return found
        least, exposed = self._any_arity.get((module, function), (0, None))
        if exposed is not None and arity >= least:
            return exposed
        found = self._built_in.get((module, function, arity))
        if found is None and self.otherwise is not None:
            return self.otherwise(module, function, arity)
        return found

    def other_arities(self, module: Any, function: Any) -> str:
        """Return with how many arguments ``module:function`` is here, in words; "" if it is not.

        For what has been asked for with another number of them.
        """
        key = module, function
        known = {each[2] for each in (*self._table, *self._built_in) if each[:2] == key}
        words = [str(number) for number in sorted(known)]
        if key in self._any_arity:
            words.append(f"{self._any_arity[key][0]} or more")
        if not words:
            return ""
        counts = " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
        return f"it is here with {counts} argument{'' if words == ['1'] else 's'}"

    def undef(self, module: Any, function: Any, args: list[Any]) -> tuple[Any, str]:
        """Return the stack of the error ``undef`` for a call, and what there is instead, or "".

        ``[{Module, Function, Args, [{error_info, #{cause => Text}}]}]``, without the last where
        nothing has the name.
        """
        text = self.other_arities(module, function)
        info = [(_ERROR_INFO, {_CAUSE: text.encode()})] if text else []
        return [(module, function, args, info)], text

    def exported(self) -> list[tuple[Atom, Atom, int]]:
        """Return every function that other nodes may run; with any number of arguments: the least.

        Those of :attr:`otherwise` are not among them.
        """
        open_ended = [(*key, least) for key, (least, _) in self._any_arity.items()]
        return list(dict.fromkeys([*self._table, *open_ended, *self._built_in]))

    def resolve(self, module: Any, function: Any, arity: int) -> Callable[..., Any] | None:
        """Return the callable of :meth:`entry`."""
        found = self.entry(module, function, arity)
        return None if found is None else found.function

    def add(
        self,
        module: Atom | str,
        target: Any,
        *,
        name: Atom | str | None = None,
        arity: int | Iterable[int] | None = None,
        blocking: bool | None = None,
        text: bool = False,
    ) -> None:
        """Expose a function, or all that :func:`functions_of` finds in ``target``.

        Raises:
            TypeError: ``target`` is nothing of the kind, or ``name`` or ``arity`` is given for
                more than one function.
            ValueError: as :meth:`expose`; nothing was exposed.

        A mapping's values are functions, or mappings with ``fun`` and its options, see
        :func:`functions_of`.
        """
        if inspect.isroutine(target) or (callable(target) and name is not None):
            self.expose(target, module=module, name=name, arity=arity, blocking=blocking, text=text)
            return
        if name is not None or arity is not None:
            raise TypeError(f"name and arity are for one function, and {target!r} is none")
        found = [_entry(*item, blocking, text) for item in functions_of(target).items()]
        as_atom(module)
        for export in found:  # raises, before anything is exposed
            export.arities()
        self._expose_each(module, found)

    def add_exports(self, exports: Exports) -> None:
        """Expose what an :class:`Exports` has gathered."""
        self._expose_each(exports.module, exports.gathered)

    def _expose_each(self, module: Atom | str, found: Iterable[_Export]) -> None:
        for export in found:
            self.expose(
                export.function,
                module=module,
                name=export.name,
                arity=export.arity,
                blocking=export.blocking,
                text=export.text,
            )


class _Export(NamedTuple):
    """One function of an :class:`Exports`, with its options."""

    function: Callable[..., Any]
    name: Atom | str | None
    arity: int | Iterable[int] | None
    blocking: bool | None
    text: bool

    def arities(self) -> object:
        """Return with how many arguments it is exposed.

        Raises:
            TypeError, ValueError: that cannot be told; which entry it is, is said.
        """
        try:
            return _arities(self.function) if self.arity is None else _given_arities(self.arity)
        except ValueError as error:
            hint = ""
            if self.arity is None and "by keyword" not in str(error):
                hint = ": say how many arguments it has, {'fun': ..., 'arity': 1}"
            raise ValueError(f"{self.name!r}: {error}{hint}") from None


class Exports:
    """An Erlang module made of Python functions, gathered where they are defined.

    ::

        hello = Exports(elixir("Hello"))

        @hello.export
        def world():
            puts("hello world")

        node = Node("py", expose=[hello])

    What is added later counts for nodes that are given it later.

    Args:
        module: the Erlang module, or an Elixir one by :func:`pynode.elixir`.
    """

    def __init__(self, module: Atom | str) -> None:
        self.module = as_atom(module)
        self.gathered: list[_Export] = []

    def __repr__(self) -> str:
        return f"<Exports {self.module}: {len(self.gathered)} functions>"

    @overload
    def export(self, function: F, /) -> F: ...
    @overload
    def export(
        self,
        *,
        name: Atom | str | None = None,
        arity: int | Iterable[int] | None = None,
        blocking: bool | None = None,
        text: bool = False,
    ) -> Callable[[F], F]: ...
    def export(
        self,
        function: Any = None,
        *,
        name: Atom | str | None = None,
        arity: int | Iterable[int] | None = None,
        blocking: bool | None = None,
        text: bool = False,
    ) -> Any:
        """Gather a function; a decorator, with or without options, that returns it unchanged.

        Args:
            function: plain, or a coroutine function.
            name: by default the function's own.
            arity: one or several; by default what its signature takes.
            blocking: run it in a thread; by default a plain function is, a coroutine function
                is not.  False for a plain function that is quick: it runs on the node's loop.
            text: UTF-8 binaries in the arguments become str; else they are bytes.

        Raises:
            ValueError: the signature cannot be read, or demands arguments by keyword.
        """

        def gather(one: F) -> F:
            if arity is None:
                _arities(one)
            self.gathered.append(_Export(one, name, arity, blocking, text))
            return one

        return gather if function is None else gather(function)


#: What an entry of a mapping may say beside its function.
_ENTRY_KEYS: Final = ("fun", "arity", "blocking", "text")


def _entry(name: Any, value: Any, blocking: bool | None, text: bool) -> _Export:
    """Read an entry of what is exposed: a function, or a mapping with one and its options.

    Raises:
        TypeError: it is neither, or has another key; or ``name`` is no name.
    """
    as_atom(name)
    plain, slash, arity = str(name).rpartition("/")
    if plain and slash and arity.isdecimal():
        raise TypeError(
            f"{name!r}: a name has no arity in it, the signature tells; or "
            f"{{{plain!r}: {{'fun': ..., 'arity': {arity}}}}} does"
        )
    if not isinstance(value, Mapping):
        return _Export(value, name, None, blocking, text)
    keys = ", ".join(_ENTRY_KEYS)
    for key in value:
        if key not in _ENTRY_KEYS:
            raise TypeError(f"{name!r}: an entry has the keys {keys}, and not {key!r}")
    function = value.get("fun")
    if not callable(function):
        raise TypeError(f"{name!r}: 'fun' is {function!r}, which cannot be called")
    return _Export(
        function,
        name,
        value.get("arity"),
        value.get("blocking", blocking),
        value.get("text", text),
    )


def functions_of(target: Any) -> dict[str | Atom, Any]:
    """Return the functions that exposing ``target`` as a module exposes, by name.

    Of a mapping all values, its keys being the names; a value is a function, or a mapping
    ``{"fun": function, "arity": 1, "blocking": False, "text": True}``, of which all but the
    function may be left out.  Of a Python module what its ``__all__``
    names, or else the functions defined in it, without those it imports.  Of an object the
    methods of its class.  Names with a leading underscore and classes are left out.

    Raises:
        TypeError: a class, or a mapping of something else; or nothing in it is a function.
    """
    if isinstance(target, Mapping):
        found: dict[Any, Any] = dict(target)
        for name, function in found.items():
            if not callable(function) and not isinstance(function, Mapping):
                raise TypeError(
                    f"{name!r} is {function!r}: an entry is a function, or "
                    "{'fun': function, 'arity': 1}"
                )
    elif isinstance(target, ModuleType):
        found = _functions_of_module(target)
    elif isinstance(target, type):
        raise TypeError(f"{target.__name__} is a class: expose an object of it")
    elif isinstance(target, str | bytes):
        raise TypeError(f"{target!r} is text: expose what it names")
    else:
        found = _methods_of(target)
    if not found:
        raise TypeError(f"there is no function to expose in {target!r}")
    return found


def _functions_of_module(module: ModuleType) -> dict[str | Atom, Callable[..., Any]]:
    listed = getattr(module, "__all__", None)
    if listed is not None:
        values = {name: getattr(module, name) for name in listed}
        return {name: value for name, value in values.items() if _is_function(name, value)}
    return {
        name: value
        for name, value in vars(module).items()
        if _is_function(name, value) and getattr(value, "__module__", None) == module.__name__
    }


def _methods_of(target: Any) -> dict[str | Atom, Callable[..., Any]]:
    # Of the class, unbound first: to look at an attribute must not run a property.
    names = [
        name
        for name in dir(type(target))
        if isinstance(inspect.getattr_static(type(target), name), staticmethod | classmethod)
        or inspect.isfunction(inspect.getattr_static(type(target), name))
    ]
    return {name: getattr(target, name) for name in names if not name.startswith("_")}


def _is_function(name: str, value: Any) -> bool:
    return callable(value) and not isinstance(value, type) and not name.startswith("_")


def _is_async(function: Callable[..., Any]) -> bool:
    """Whether calling it gives a coroutine: so for objects with an async ``__call__`` as well."""
    while hasattr(function, "func"):  # functools.partial
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(type(function), "__call__", None)  # noqa: B004
    )


class _AtLeast(NamedTuple):
    """The arities of a function with ``*args``."""

    least: int


def _given_arities(arity: Any) -> tuple[int, ...]:
    """Return the arities that an option names.

    Raises:
        TypeError: they are no numbers.
        ValueError: no function of Erlang has so many arguments.
    """
    arities = tuple(arity) if isinstance(arity, Iterable) else (arity,)
    if isinstance(arity, str | bytes) or any(type(number) is not int for number in arities):
        raise TypeError(f"arity is an int or several, not {arity!r}")
    if any(not 0 <= number <= 255 for number in arities):
        raise ValueError(f"a function has 0 to 255 arguments, and arity is {arity!r}")
    return arities


def _arities(function: Callable[..., Any]) -> range | _AtLeast:
    """Return how many positional arguments ``function`` takes.

    Raises:
        ValueError: it cannot be known, or the function demands arguments by keyword.
    """
    least = most = 0
    unlimited = False
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            unlimited = True
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            most += 1
            least += parameter.default is parameter.empty
        elif parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty:
            raise ValueError(
                f"{function!r} demands {parameter.name} by keyword, and calls from other nodes "
                "have no keywords"
            )
    return _AtLeast(least) if unlimited else range(least, most + 1)
