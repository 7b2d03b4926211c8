"""The functions by which other nodes look into this one, for policies that tell peers apart."""

from __future__ import annotations

from typing import Any, Final

from pynode.terms.atom import Atom

__all__ = ["is_introspection"]

#: The whole module, or the functions of it.
_FUNCTIONS: Final[dict[Atom, frozenset[Atom] | None]] = {
    Atom(module): None if names is None else frozenset(map(Atom, names.split()))
    for module, names in {
        "Elixir.Node": None,
        "Elixir.Process": None,
        "application": None,
        "appmon_info": None,
        "c": None,
        "code": None,
        "dbg": "deliver_and_flush do_relay erlang_trace",
        "erlang": (
            "function_exported is_process_alive loaded memory module_loaded nodes port_info ports "
            "process_info processes registered statistics system_info whereis"
        ),
        "net_adm": "localhost",
        "observer_backend": None,
        "proc_lib": "get_label initial_call translate_initial_call",
        "sys": None,
    }.items()
}
_MODULE_INFO: Final = Atom("module_info")


def is_introspection(target: Any) -> bool:
    """Tell whether the target of ``Action.SPAWN`` is a function of ``Node(introspection=True)``.

    ::

        def policy(peer, action, target):
            if action is Action.SPAWN and is_introspection(target) and peer.name != OPS:
                return Deny("introspection")
            return default_policy(peer, action, target)

    Some are a remote shell's too (``system_info``, ``code:ensure_loaded``), which then has none.
    """
    module, function, _ = target
    if function == _MODULE_INFO:
        return True
    names = _FUNCTIONS.get(module, frozenset()) if type(module) is Atom else frozenset()
    return names is None or function in names
