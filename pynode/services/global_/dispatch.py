"""From a message in the mailbox of ``global_name_server`` to the method that handles it.

Two tables, by the message's first element and size: one for what comes as a gen call, one for
casts and plain messages (a peer may send either).  What is not in the tables, or not of the
right shape, is logged and dropped; OTP's name server would crash on the latter.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from pynode.shown import shown
from pynode.terms import Atom, Pid, Reference, atom

from .ports import Caller
from .server import NameServer
from .wire import VERSION, Malformed

__all__ = ["handle_call", "handle_message"]

logger = logging.getLogger("pynode.global")

_GEN_CALL: Final = atom("$gen_call")
_GEN_CAST: Final = atom("$gen_cast")


class _NoAnswer:
    pass


_NO_ANSWER: Final = _NoAnswer()


def _node(term: Any) -> Atom:
    if not isinstance(term, Atom):
        raise Malformed(term)
    return term


# --------------------------------------------------------------------------- calls

CallHandler = Callable[[NameServer, Caller, Any], Any]


def _sync(server: NameServer, caller: Caller, request: Any) -> Any:
    nodes = request[1]
    if not isinstance(nodes, list):
        raise Malformed(nodes)
    server.sync([_node(node) for node in nodes], caller)
    return _NO_ANSWER


def _unregister(server: NameServer, caller: Caller, request: Any) -> Atom:
    server.names.delete(request[1])
    return atom.ok


def _info(server: NameServer, caller: Caller, request: Any) -> dict[Any, Any]:
    return {
        atom.known: server.known_list(VERSION),
        atom.synced: list(server.synced),
        atom.the_locker: server.locker,
        atom.node_name: server.node,
    }


_CALLS: Final[dict[tuple[Atom, int], CallHandler]] = {
    (atom.register, 4): lambda server, caller, r: server.register(r[1], r[2], r[3], caller[0]),
    (atom.register_ext, 5): lambda server, caller, r: server.register(
        r[1], r[2], r[3], caller[0], r[4]
    ),
    (atom.unregister, 2): _unregister,
    (atom.set_lock, 2): lambda server, caller, r: server.set_lock(r[1], caller[0]),
    (atom.del_lock, 2): lambda server, caller, r: server.del_lock(r[1], caller[0]),
    (atom.sync, 2): _sync,
    (atom.get_known, 0): lambda server, caller, r: server.known_list(),
    (atom.get_synced, 0): lambda server, caller, r: list(server.synced),
    (atom.get_protocol_version, 0): lambda server, caller, r: VERSION,
    (atom.get_names_ext, 0): lambda server, caller, r: server.names.dump_external(),
    (atom.info, 0): _info,
    (atom.disconnect, 0): lambda server, caller, r: server.disconnect_all(),
}


def handle_call(server: NameServer, caller: Caller, request: Any) -> None:
    """Handle one gen call; the answer goes to ``caller``, a malformed request gets ``error``."""
    handler = _CALLS.get(_key(request))
    if handler is None:
        logger.warning("global_name_server: unexpected call %r from %r", shown(request), caller[0])
        return
    try:
        answer = handler(server, caller, request)
    except Malformed:
        logger.warning("global_name_server: malformed call %r from %r", shown(request), caller[0])
        answer = (atom.error, atom.badarg)
    if answer is not _NO_ANSWER:
        server.host.reply(caller, answer)


def _key(message: Any) -> Any:
    if isinstance(message, tuple) and message and isinstance(message[0], Atom):
        return message[0], len(message)
    return (message, 0) if isinstance(message, Atom) else None


# --------------------------------------------------------------------------- casts, messages

Handler = Callable[[NameServer, Any], Any]

_MESSAGES: Final[dict[tuple[Atom, int], Handler]] = {
    (atom.init_connect, 4): lambda server, m: server.init_connect(m[1], m[2], m[3]),
    (atom.init_connect_ack, 4): lambda server, m: server.init_connect_ack(_node(m[1]), m[2], m[3]),
    (atom.cancel_connect, 3): lambda server, m: server.cancel_connect(_node(m[1]), m[2]),
    (atom.lock_set, 4): NameServer.lock_set,
    (atom.lock_set, 5): NameServer.lock_set,
    (atom.exchange, 5): lambda server, m: server.exchange(_node(m[1]), m[2], m[3], m[4]),
    (atom.resolved, 7): lambda server, m: server.resolved(
        _node(m[1]), m[2], m[3], m[4], m[5], m[6]
    ),
    (atom.new_nodes, 6): lambda server, m: server.new_nodes(m[1], m[2], m[3], m[4], m[5]),
    (atom.in_sync, 3): lambda server, m: server.in_sync(_node(m[1]), m[2]),
    (atom.lost_connection, 5): lambda server, m: server.lost_connection(m[1], m[2], m[3], m[4]),
    (atom.remove_connection, 2): lambda server, m: server.remove_connection(_node(m[1])),
    (atom.whereis, 3): lambda server, m: server.whereis_call(m[1], m[2]),
    (atom.async_del_name, 3): lambda server, m: None,
    (atom.async_del_lock, 3): lambda server, m: None,
}


def handle_message(server: NameServer, message: Any) -> None:
    """Handle one message of the mailbox, whatever it is."""
    match message:
        case (tag, (Pid(), _) as caller, request) if tag == _GEN_CALL:
            handle_call(server, caller, request)
            return
        case (tag, cast) if tag == _GEN_CAST:
            message = cast
        case (tag, Reference() as ref, _, _, _) if tag == atom.DOWN:
            server.down(ref)
            return
    handler = _MESSAGES.get(_key(message))
    if handler is None:
        logger.warning("global_name_server: unexpected message %r", shown(message))
        return
    try:
        handler(server, message)
    except Malformed:
        logger.warning("global_name_server: malformed message %r", shown(message))
