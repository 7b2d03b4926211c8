"""Modules and applications, as far as tools ask: ``code``, ``application``, ``proc_lib``, ``sys``.

A module is here what has a function that other nodes may run, or what a server of this node calls
itself.  There is one application, ``pynode``.

Source: code.erl, application.erl, proc_lib.erl, sys.erl, c.erl; what observer_procinfo.erl asks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from pynode.behaviours import sys as sys_client
from pynode.behaviours.body import BehaviourBody
from pynode.behaviours.values import term_or_repr
from pynode.process.resolver import Exposed
from pynode.services.service import acting
from pynode.terms import Atom, Pid, atom, charlist

from .facts import INIT_P, dictionary
from .processes import ProcessFunctions, badarg, function_clause, is_atom

if TYPE_CHECKING:
    from pynode.process.process import Process
    from pynode.process.runtime import Runtime

__all__ = ["APPLICATION", "ModuleFunctions", "application"]

APPLICATION: Final = atom.pynode
_UNDEFINED: Final = atom.undefined
_NOFILE: Final = (atom.error, atom.nofile)
_MODULE: Final = atom("module")
_MODULE_INFO: Final = atom.module_info
_INITIAL_CALL: Final = atom("$initial_call")
_LABEL: Final = atom("$process_label")
_DICTIONARY: Final = atom.dictionary
_FORMAT_STATUS: Final = atom.format_status
_LONGEST_MS: Final = (1 << 32) - 1


def application() -> tuple[Any, Any, Any]:
    """Return ``{Name, Description, Version}`` of the one application."""
    import pynode

    return APPLICATION, charlist("A Python node"), charlist(pynode.__version__)


class ModuleFunctions:
    """What one node tells of its code."""

    def __init__(self, runtime: Runtime, processes: ProcessFunctions, ensure_loaded: Any) -> None:
        self._runtime = runtime
        self._processes = processes
        #: What the shell answers to ``code:ensure_loaded/1``: it has modules while it is on.
        self._ensure_loaded_before = ensure_loaded

    def table(self) -> dict[tuple[str, str, int], Callable[..., Any]]:
        """Return the functions."""
        return {
            ("application", "get_all_env", 1): lambda name: [],
            ("application", "get_application", 1): self._get_application,
            ("application", "get_env", 1): lambda key: _UNDEFINED,
            ("application", "get_env", 2): lambda name, key: _UNDEFINED,
            ("application", "get_env", 3): lambda name, key, default: default,
            ("application", "get_key", 2): self._get_key,
            ("application", "loaded_applications", 0): self._applications,
            ("application", "which_applications", 0): self._applications,
            ("application", "which_applications", 1): self._applications,
            ("c", "pid", 3): self._pid,
            ("code", "all_loaded", 0): lambda: [(name, []) for name in sorted(self._modules())],
            ("code", "ensure_loaded", 1): self._ensure_loaded,
            ("code", "is_loaded", 1): self._is_loaded,
            ("code", "which", 1): self._which,
            ("erlang", "function_exported", 3): self._function_exported,
            ("erlang", "loaded", 0): lambda: sorted(self._modules()),
            ("erlang", "module_loaded", 1): self._module_loaded,
            ("proc_lib", "get_label", 1): self._get_label,
            ("proc_lib", "initial_call", 1): self._initial_call,
            ("proc_lib", "translate_initial_call", 1): self._translate_initial_call,
            ("sys", "get_state", 1): self._get_state,
            ("sys", "get_state", 2): self._get_state,
            ("sys", "get_status", 1): self._get_status,
            ("sys", "get_status", 2): self._get_status,
        }

    # ------------------------------------------------------------------ modules

    def _servers(self, module: Any) -> list[BehaviourBody]:
        """Return the live servers whose class calls itself ``module``."""
        bodies: list[Any] = [process.body for process in self._runtime.processes()]
        return [
            body
            for body in bodies
            if isinstance(body, BehaviourBody)
            and hasattr(body, "process")
            and body.callback_module() == module
        ]

    def _modules(self) -> set[Any]:
        return {module for module, _, _ in self._runtime.resolver.exported()}

    def _is_module(self, name: Any) -> bool:
        return name in self._modules() or bool(self._servers(name))

    def _ensure_loaded(self, name: Any) -> Any:
        """``code:ensure_loaded/1``; the shell's modules are there while the shell is on."""
        if not is_atom(name):
            raise function_clause()
        if self._is_module(name):
            return _MODULE, name
        before = self._ensure_loaded_before
        return _NOFILE if before is None else before(name)

    def _is_loaded(self, name: Any) -> Any:
        """``code:is_loaded/1``: ``{file, []}``."""
        if not is_atom(name):
            raise function_clause()
        return (atom.file, []) if self._is_module(name) else False

    def _which(self, name: Any) -> Any:
        """``code:which/1``."""
        if not is_atom(name):
            raise function_clause()
        return [] if self._is_module(name) else atom.non_existing

    def _module_loaded(self, name: Any) -> bool:
        """``erlang:module_loaded/1``."""
        if not is_atom(name):
            raise badarg()
        return self._is_module(name)

    def _function_exported(self, module: Any, function: Any, arity: Any) -> bool:
        """``erlang:function_exported/3``."""
        if not is_atom(module) or not is_atom(function) or type(arity) is not int:
            raise badarg()
        return self._runtime.resolver.entry(module, function, arity) is not None

    def module_info(self, module: Any, function: Any, arity: int) -> Exposed | None:
        """Return ``Module:module_info/0,1`` of a module that is here; what the resolver asks."""
        if function != _MODULE_INFO or arity > 1 or not self._is_module(module):
            return None
        return Exposed(lambda *items: self._module_info(module, *items), False)

    def _module_info(self, module: Any, *items: Any) -> Any:
        servers = self._servers(module)
        exports = [(atom.module_info, 0), (atom.module_info, 1)]
        exports += [
            (name, arity)
            for owner, name, arity in self._runtime.resolver.exported()
            if owner == module
        ]
        attributes = []
        if servers:
            attributes = [(atom.behaviour, [servers[0].MODULE])]
            if _formats_status(servers[0]):
                exports.append((_FORMAT_STATUS, 1))
        facts = {
            _MODULE: module,
            atom.exports: exports,
            atom.attributes: attributes,
            atom.compile: [],
        }
        if not items:
            return list(facts.items())
        if items[0] == atom.functions:
            return exports
        if type(items[0]) is not Atom or items[0] not in facts:
            raise badarg()
        return facts[items[0]]

    # ------------------------------------------------------------------ applications

    def _applications(self, timeout: Any = 5000) -> list[Any]:
        """``which_applications/0,1``."""
        return [application()]

    def _get_application(self, of: Any) -> Any:
        """``get_application/1``: of a process or module of this node."""
        if type(of) is Pid:
            here = self._runtime.is_own(of) and self._runtime.local(of) is not None
        elif is_atom(of):
            here = self._is_module(of)
        else:
            raise function_clause()
        return (atom.ok, APPLICATION) if here else _UNDEFINED

    def _get_key(self, name: Any, key: Any) -> Any:
        """``get_key/2``: ``vsn`` and ``description``."""
        if name == APPLICATION and key in (atom.vsn, atom.description):
            _, description, version = application()
            return atom.ok, version if key == atom.vsn else description
        return _UNDEFINED

    # ------------------------------------------------------------------ proc_lib, sys, c

    def _dictionary_of(self, who: Any) -> dict[Any, Any]:
        """Return the dictionary of a process, or the one in a list that process_info gave."""
        match who:
            case Pid():
                if not self._runtime.is_own(who):
                    return {}
                process = self._runtime.local(who)
                return {} if process is None else dictionary(process)
            case (int(), int(), int()):
                return self._dictionary_of(self._pid(*who))
            case list():
                for pair in who:
                    if type(pair) is tuple and len(pair) == 2 and pair[0] == _DICTIONARY:
                        return _pairs(pair[1])
                return {}
        raise function_clause()

    def _raw_initial_call(self, who: Any) -> tuple[Any, Any, Any] | None:
        found = self._dictionary_of(who).get(_INITIAL_CALL)
        return found if type(found) is tuple and len(found) == 3 else None

    def _translate_initial_call(self, who: Any) -> Any:
        """``proc_lib:translate_initial_call/1``."""
        return self._raw_initial_call(who) or INIT_P

    def _initial_call(self, who: Any) -> Any:
        """``proc_lib:initial_call/1``: ``{M, F, ['Argument__1', ...]}``, or false."""
        found = self._raw_initial_call(who)
        if found is None:
            return False
        module, function, arity = found
        return module, function, [Atom(f"Argument__{number + 1}") for number in range(arity)]

    def _get_label(self, pid: Any) -> Any:
        """``proc_lib:get_label/1``."""
        if type(pid) is not Pid:
            return _UNDEFINED
        return term_or_repr(self._dictionary_of(pid).get(_LABEL, _UNDEFINED))

    async def _get_status(self, who: Any, timeout: Any = 5000) -> Any:
        """``sys:get_status/1,2``, of a server of this node."""
        me, dest, seconds = self._system_request(who, timeout)
        return await sys_client.get_status(me, dest, seconds)

    async def _get_state(self, who: Any, timeout: Any = 5000) -> Any:
        """``sys:get_state/1,2``, of a server of this node."""
        me, dest, seconds = self._system_request(who, timeout)
        return await sys_client.get_state(me, dest, seconds)

    def _system_request(self, who: Any, timeout: Any) -> tuple[Process, Any, float | None]:
        """Return who asks, who is asked and the seconds; nobody is asked on other nodes."""
        if not is_atom(who):
            self._processes.own(who)
        if timeout == atom.infinity:
            return acting(self._runtime), who, None
        if type(timeout) is not int or not 0 <= timeout <= _LONGEST_MS:
            raise function_clause()
        return acting(self._runtime), who, timeout / 1000

    def _pid(self, first: Any, number: Any, serial: Any) -> Pid:
        """``c:pid/3``: a pid of this node, whose first number is 0."""
        if first != 0 or type(number) is not int or type(serial) is not int:
            raise badarg()
        try:
            return Pid(self._runtime.node_name, number, serial, self._runtime.creation)
        except ValueError:
            raise badarg() from None


def _formats_status(body: Any) -> bool:
    return callable(getattr(getattr(body, "instance", None), "format_status", None))


def _pairs(pairs: Any) -> dict[Any, Any]:
    found = {}
    for pair in pairs if type(pairs) is list else []:
        if type(pair) is tuple and len(pair) == 2 and type(pair[0]) is Atom:
            found[pair[0]] = pair[1]
    return found
