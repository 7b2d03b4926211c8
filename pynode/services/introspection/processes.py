"""The functions of ``erlang`` that tell of processes and names, and Elixir's ``Process``.

Bad arguments are ``badarg``, as the emulator has it; a process that has ended is ``undefined``
(nil in Elixir).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from pynode.behaviours.values import term_or_repr
from pynode.errors import RemoteError
from pynode.terms import Atom, Pid, Port, atom

from .facts import DEFAULT_ITEMS, ITEMS, dictionary

if TYPE_CHECKING:
    from pynode.process.process import Process
    from pynode.process.runtime import Runtime

__all__ = ["ProcessFunctions", "badarg", "function_clause"]

_UNDEFINED: Final = atom.undefined
_REGISTERED_NAME: Final = atom.registered_name
_DICTIONARY: Final = atom.dictionary
#: Where there is no second argument; nil is one.
_ALL: Final = object()


def badarg() -> RemoteError:
    """Return the error ``badarg``."""
    return RemoteError("error", atom.badarg)


def function_clause() -> RemoteError:
    """Return the error ``function_clause``."""
    return RemoteError("error", atom.function_clause)


def is_atom(term: Any) -> bool:
    """Tell whether ``term`` is an atom in Erlang's eyes."""
    return type(term) is Atom or term is None or type(term) is bool


class ProcessFunctions:
    """What one node tells of its processes."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def table(self) -> dict[tuple[str, str, int], Callable[..., Any]]:
        """Return the functions."""
        return {
            ("erlang", "is_process_alive", 1): self.is_process_alive,
            ("erlang", "process_info", 1): self.process_info,
            ("erlang", "process_info", 2): self.process_info,
            ("erlang", "processes", 0): self.processes,
            ("erlang", "registered", 0): self._runtime.registered,
            ("erlang", "whereis", 1): self.whereis,
            ("erlang", "ports", 0): list,
            ("erlang", "port_info", 1): self._port_info,
            ("erlang", "port_info", 2): self._port_info,
            ("Elixir.Process", "alive?", 1): self.is_process_alive,
            ("Elixir.Process", "info", 1): self._elixir_info,
            ("Elixir.Process", "info", 2): self._elixir_info,
            ("Elixir.Process", "list", 0): self.processes,
            ("Elixir.Process", "registered", 0): self._runtime.registered,
            ("Elixir.Process", "whereis", 1): self._elixir_whereis,
        }

    def own(self, pid: Any) -> Pid:
        """Return ``pid``, which has to be of this node."""
        if type(pid) is not Pid or not self._runtime.is_own(pid):
            raise badarg()
        return pid

    def processes(self) -> list[Pid]:
        """``processes/0``."""
        return [process.pid for process in self._runtime.processes()]

    def is_process_alive(self, pid: Any) -> bool:
        """``is_process_alive/1``."""
        return self._runtime.local(self.own(pid)) is not None

    def whereis(self, name: Any) -> Any:
        """``whereis/1``."""
        if not is_atom(name):
            raise badarg()
        process = self._runtime.names.find(name)
        return _UNDEFINED if process is None else process.pid

    def process_info(self, pid: Any, items: Any = _ALL) -> Any:
        """``process_info/1,2``.

        ``items``: nothing for those of ``process_info/1``, one item, or a list of them.
        """
        if items is _ALL:
            return self._all(self.own(pid))
        readers = self._readers(items)
        process = self._runtime.local(self.own(pid))
        if process is None:
            return _UNDEFINED
        if type(items) is list:
            return [(item, read(process)) for item, read in readers]
        [(item, read)] = readers
        value = read(process)
        return [] if item == _REGISTERED_NAME and value == [] else (item, value)

    def _all(self, pid: Pid) -> Any:
        process = self._runtime.local(pid)
        if process is None:
            return _UNDEFINED
        found = [(item, ITEMS[item](process)) for item in DEFAULT_ITEMS]
        return found if process.name is None else [(_REGISTERED_NAME, process.name), *found]

    def _readers(self, items: Any) -> list[tuple[Any, Callable[[Process], Any]]]:
        """Return how each item is read; all of them are looked at before the process is."""
        return [(item, _reader(item)) for item in (items if type(items) is list else [items])]

    def _port_info(self, port: Any, item: Any = _ALL) -> Any:
        """``port_info/1,2``: there are no ports here."""
        if is_atom(port) and (item is _ALL or is_atom(item)):
            return _UNDEFINED
        if type(port) is Port and port.node == self._runtime.node_name:
            return _UNDEFINED
        raise badarg()

    def _elixir_info(self, pid: Any, items: Any = _ALL) -> Any:
        """``Process.info/1,2``."""
        found = self.process_info(pid, items)
        if found == _UNDEFINED:
            return None
        return (_REGISTERED_NAME, []) if found == [] and type(items) is Atom else found

    def _elixir_whereis(self, name: Any) -> Any:
        """``Process.whereis/1``."""
        pid = self.whereis(name)
        return None if pid == _UNDEFINED else pid


def _reader(item: Any) -> Callable[[Process], Any]:
    if type(item) is Atom:
        found = ITEMS.get(item)
        if found is not None:
            return found
    elif type(item) is tuple and len(item) == 2 and type(item[0]) is Atom:
        word, key = item
        if word == _DICTIONARY:
            return lambda process: _dictionary_value(process, key)
    raise badarg()


def _dictionary_value(process: Process, key: Any) -> Any:
    try:
        return term_or_repr(dictionary(process).get(key, _UNDEFINED))
    except TypeError:  # a list or a map: no key that Python's dict has
        return _UNDEFINED
