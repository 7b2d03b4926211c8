"""Settings, frozen, with their units in the name or the docstring.

Durations are seconds, ``None`` is infinity; sizes are bytes.
"""

from __future__ import annotations

import os
import socket
import stat
from typing import TYPE_CHECKING, Final

from pynode._values import Value, given
from pynode.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "NO_NAME",
    "Limits",
    "NodeConfig",
    "Timeouts",
    "TlsConfig",
    "find_cookie",
    "find_dist_port",
    "find_epmd_listen",
    "find_epmd_port",
    "full_name",
    "has_long_host",
    "nameless_host",
]

MIB: Final = 1024 * 1024
_TLS_TYPES: Final = (
    ("certfile", (str, os.PathLike), "a path, str or Path"),
    ("keyfile", (str, os.PathLike, type(None)), "a path, str or Path, or None"),
    ("password", (str, type(None)), "a str or None"),
    ("cafile", (str, os.PathLike, type(None)), "a path, str or Path, or None"),
    ("verify", bool, "a bool"),
    ("check_hostname", bool, "a bool"),
)
#: What a node is called that has no name.
NO_NAME: Final = "nonode@nohost"


class Limits(Value, kw_only=True):
    """What a peer may make this node hold; beyond it, a documented error and no allocation."""

    frame_bytes: int = 256 * MIB
    """Longest frame of a connection; longer ones cost the connection."""
    term_bytes: int = 1024 * MIB
    """Longest term after reassembly of fragments, or after decompression."""
    depth: int = 10_000
    """Deepest nesting of a decoded or encoded term."""
    elements: int = 16_000_000
    """Most elements of all containers of one term together."""
    pending_fragments: int = 256
    """Most unfinished fragment sequences of one connection."""
    fragment_bytes: int = 1024 * MIB
    """Most bytes held by one connection's unfinished fragment sequences together."""
    handshakes: int = 64
    """Most incoming handshakes under way at once; further connections wait in the backlog until
    one is over, or has not gone on for half a second and gives way."""
    dials: int = 256
    """Most attempts of our own to connect that are under way at once, those apart that the program
    itself asks for; the others wait their turn."""
    waiting_dials: int = 4096
    """Most nodes that wait for such an attempt; signals to others are lost, as to a node that
    cannot be reached."""
    peer_high_water_bytes: int = 4 * MIB
    """Above this in a peer's output queue the sending process is held at its next await."""
    peer_low_water_bytes: int = 1 * MIB
    """Held processes go on when the queue has shrunk to this."""
    peer_queue_bytes: int = 1024 * MIB
    """Above this in a peer's output queue a send raises :class:`pynode.errors.PeerBusy`."""
    spawned_processes: int = 100_000
    """Most live processes that other nodes have spawned here, calls of ``rpc`` and ``erpc``
    among them; beyond it a spawn request is answered ``system_limit``."""
    threads: int = 256
    """Most threads for the plain functions that other nodes run here; beyond it they wait for
    one that has ended, in the order of the requests."""

    def _check(self) -> None:
        """Refuse what is no limit (TypeError, ConfigError)."""
        for name in self._fields:
            value = getattr(self, name)
            if type(value) is not int:
                raise TypeError(f"Limits: {name} is an int, not {value!r}")
            if value < 0:
                raise ConfigError(f"Limits: {name} is not negative, as {value} is")


class Timeouts(Value, kw_only=True):
    """How long each step may take, in seconds; ``None`` waits for ever."""

    setup: float | None = 7.0
    """Each step of connecting and of the handshake (OTP's ``net_setuptime``)."""
    epmd: float | None = 5.0
    """One question to EPMD."""
    net_ticktime: float = 60.0
    """A silent peer is given up after 0.75 to 1.25 times this (OTP's ``net_ticktime``)."""
    call: float | None = 5.0
    """A call without a timeout of its own (OTP's default, 5 s)."""
    stop: float | None = 5.0
    """``Node.stop()``: how long processes may take to end before they are killed."""
    slow: float | None = 0.1
    """A callback that holds the event loop longer is named in a warning; ``None``: no warnings."""
    busy_wait: float | None = 0.0002
    """Where nodes answer each other more quickly than this, call upon call, the event loop waits
    for the next answer so long without sleeping (as a BEAM's schedulers do, ``+sbwt``), which
    nearly halves the time of a call and takes no more of the processor where the answer comes at
    once; ``None``: it sleeps whenever it has nothing to do."""

    def _check(self) -> None:
        """Refuse what is no number of seconds (TypeError, ConfigError)."""
        for name in self._fields:
            value = getattr(self, name)
            if value is None and name != "net_ticktime":
                continue
            if isinstance(value, bool) or not isinstance(value, int | float):
                none = "" if name == "net_ticktime" else " or None"
                raise TypeError(f"Timeouts: {name} is a number of seconds{none}, not {value!r}")
            if name == "net_ticktime" and not value > 0:
                raise ConfigError(f"Timeouts: {name} is a positive number of seconds, not {value}")
            if not value >= 0:
                raise ConfigError(f"Timeouts: {name} is not negative, as {value} is")


class TlsConfig(Value, kw_only=True):
    """TLS for all connections to nodes (OTP's ``-proto_dist inet_tls``); EPMD never has any.

    Every node of a cluster has it, or none.  The files are PEM; how to make them, and what a BEAM
    is told, is in the guide ``clusters.md``.
    """

    certfile: str | Path
    """This node's certificate, and those up to the root's, for both directions."""
    keyfile: str | Path | None = None
    """Its key; ``None``: in ``certfile``."""
    password: str | None = given(default=None, repr=False)
    """Of the key."""
    cafile: str | Path | None = None
    """Who may have signed the other nodes' certificates; needed where ``verify`` is true."""
    verify: bool = True
    """Have every peer show a certificate of ``cafile``, whichever side connects; False: traffic is
    encrypted, and the cookie alone says who is who."""
    check_hostname: bool = True
    """Where this node connects, the certificate has to name the host part of the peer's name."""

    def _check(self) -> None:
        """Refuse what is no path, text or bool (TypeError)."""
        for name, types, words in _TLS_TYPES:
            if not isinstance(getattr(self, name), types):
                raise TypeError(f"TlsConfig: {name} is {words}, not {getattr(self, name)!r}")


class NodeConfig(Value, kw_only=True):
    """Everything a node is told at its start; :class:`pynode.Node` fills it from its options."""

    name: str
    """Full name, ``alive@host``; a host alone: the first peer gives the name (NAME_ME)."""
    cookie: bytes = given(repr=False)
    hidden: bool = False
    long_names: bool = False
    """True if the host part is fully qualified or an address (OTP's ``-name``)."""
    listen: str | None = None
    """Address to listen on; ``None``: where the host part of the name resolves."""
    tls: TlsConfig | None = None
    """TLS for the connections to nodes; ``None``: plain TCP."""
    port: int = 0
    """Port to listen on; 0: any free one."""
    epmd: bool = True
    """Register with EPMD; False: nothing is asked of one, see ``peer_port``."""
    peer_port: int | None = None
    """Port on which every other node listens, whatever EPMD says (``-erl_epmd_port``); ``None``:
    as the EPMD of its host says."""
    epmd_address: str | None = None
    """Where our own EPMD is; ``None``: loopback (``ERL_EPMD_ADDRESS`` is for the daemon)."""
    epmd_port: int = 4369
    start_epmd: bool = True
    """Start an embedded EPMD where none answers."""
    epmd_listen: tuple[str, ...] | None = None
    """Addresses an embedded EPMD listens on beside loopback (``ERL_EPMD_ADDRESS``); ``None``: this
    node's and those of the host's own name."""
    epmd_relaxed_command_check: bool = False
    """Let ``epmd -kill`` and ``epmd -stop`` work on an embedded EPMD (OTP's option)."""
    connect_all: bool = True
    """Join the full mesh of ``:global`` (OTP's ``connect_all``)."""
    prevent_overlapping_partitions: bool = True
    start_pg: bool = False
    """Start the default scope of ``pg`` with the node (kernel's parameter of this name)."""
    creation: int | None = None
    """``None``: what EPMD gives, or a random one.  Tests fix it."""
    cookies: dict[str, bytes] = given(default_factory=dict, repr=False)
    """Cookies of single peers, by node name; others get ``cookie``."""
    timeouts: Timeouts = Timeouts()
    limits: Limits = Limits()


def full_name(name: str, *, long_names: bool | None = None) -> str:
    """Return ``alive@host`` for ``name``, which may lack the host.

    The host is then what ``-sname`` takes: the host's name up to its first dot; with
    ``long_names`` true, what ``-name`` takes: the fully qualified one.

    Raises:
        ConfigError: no name, more than one ``@``, characters that no node name has, or a host
            that does not suit ``long_names``.
    """
    alive, at, host = name.partition("@")
    if not alive or (at and not host) or "@" in host:
        raise ConfigError(f"{name!r} is no node name: write 'py' or 'py@host'")
    if any(character.isspace() or character in "/:" for character in alive):
        raise ConfigError(f"{name!r} is no node name: the part before '@' has a blank, '/' or ':'")
    if not at:
        host = socket.getfqdn() if long_names else socket.gethostname().partition(".")[0]
    if long_names and not has_long_host(host):
        raise ConfigError(
            f"long names need a host with a dot in it, and {host!r} has none: "
            f"write '{alive}@host.domain', or '{alive}@127.0.0.1'"
        )
    if long_names is False and has_long_host(host):
        raise ConfigError(f"short names need a host without dots, and {host!r} has one")
    if len(alive) + len(host) + 1 > 255:
        raise ConfigError("a node name has at most 255 characters")
    return f"{alive}@{host}"


def nameless_host(name: str | None, *, long_names: bool | None = None) -> str | None:
    """Return the host of a node that is to get its name from a peer; None: it has one.

    Such a node is asked for with OTP's word, ``"undefined"`` or ``"undefined@host"``, or None.

    Raises:
        ConfigError: as :func:`full_name`.
    """
    if name is None:
        name = "undefined"
    if name.partition("@")[0] != "undefined":
        return None
    return full_name(name, long_names=long_names).partition("@")[2]


def has_long_host(name: str) -> bool:
    """Tell whether a node's or a host's name is a long one (``-name``): a dot or a colon in it."""
    host = name.rpartition("@")[2]
    return "." in host or ":" in host


def find_epmd_port() -> int:
    """Return EPMD's port: of the environment variable ``ERL_EPMD_PORT``, or 4369.

    Raises:
        ConfigError: the variable holds no port.
    """
    return _port_of("ERL_EPMD_PORT") or 4369


def find_epmd_listen() -> tuple[str, ...] | None:
    """Return the addresses of the environment variable ``ERL_EPMD_ADDRESS``, None without one.

    They are for the daemon: where an embedded EPMD listens beside loopback; commas or blanks
    stand between them.

    Raises:
        ConfigError: one of them is no IP address.
    """
    words = os.environ.get("ERL_EPMD_ADDRESS", "").replace(",", " ").split()
    if not words:
        return None
    from ipaddress import ip_address  # late, as the other heavy modules here

    for word in words:
        try:
            ip_address(word)
        except ValueError:
            raise ConfigError(f"ERL_EPMD_ADDRESS has {word!r}, which is no IP address") from None
    return tuple(words)


def find_dist_port() -> int | None:
    """Return the environment variable ``ERL_DIST_PORT``, None where it is not set.

    Release tools (relx, and ``mix release`` by the usual ``env.sh``) give it to ``erl`` as
    ``-start_epmd false -erl_epmd_port $ERL_DIST_PORT``: every node of the cluster listens there.

    Raises:
        ConfigError: the variable holds no port.
    """
    return _port_of("ERL_DIST_PORT")


def _port_of(variable: str) -> int | None:
    text = os.environ.get(variable)
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise ConfigError(f"{variable} is {text!r}, which is no port")
    return int(text)


def find_cookie(cookie: str | bytes | None = None, *, file: str | Path | None = None) -> bytes:
    """Return the cookie: the given one, else of ``file``, ``PYNODE_COOKIE``, ``~/.erlang.cookie``.

    Where the last is wanted and absent, it is made as OTP's ``auth`` makes it: 20 random capital
    letters, readable by the owner alone.

    Raises:
        ConfigError: the cookie is empty or has characters beyond Latin-1; the file cannot be
            read, or others than its owner may (OTP refuses such a file as well).
    """
    if cookie is None and file is None:
        cookie = os.environ.get("PYNODE_COOKIE") or None
    if cookie is None:
        cookie = _cookie_from_file(file)
    if isinstance(cookie, str):
        try:
            cookie = cookie.encode("latin-1")
        except UnicodeEncodeError:
            raise ConfigError("a cookie has only characters of Latin-1") from None
    if not cookie:
        raise ConfigError("the cookie is empty")
    return cookie


def _cookie_from_file(file: str | Path | None) -> bytes:
    from pathlib import Path

    if file is not None:
        path = Path(file)
    else:
        path = Path.home() / ".erlang.cookie"
        config_home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
        fallback = config_home / "erlang" / ".erlang.cookie"
        if not path.exists():
            if not fallback.exists():
                _make_cookie_file(path)
            else:
                path = fallback
    try:
        mode = path.stat().st_mode
        # The first word of the first line, as OTP reads it.
        words = path.read_bytes().split(maxsplit=1)
    except OSError as error:
        raise ConfigError(f"cookie file {path}: {error.strerror}") from error
    if stat.S_IMODE(mode) & 0o077:
        raise ConfigError(f"cookie file {path}: others may read it; run: chmod 400 {path}")
    if not words:
        raise ConfigError(f"cookie file {path}: it is empty")
    return words[0]


def _make_cookie_file(path: Path) -> None:
    import secrets
    import string

    cookie = "".join(secrets.choice(string.ascii_uppercase) for _ in range(20))
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
    except FileExistsError:
        return  # another node of this user made it just now; its cookie is ours too
    except OSError as error:
        raise ConfigError(
            f"no cookie: {path} cannot be made ({error.strerror}); give one, or set PYNODE_COOKIE"
        ) from error
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(cookie)
