"""Capability flags that the two sides of a handshake offer each other.

The flags of a connection are the intersection of both offers.  Source: ``dist.hrl`` of kernel,
``dist.h`` of the emulator, "Distribution Protocol", section "Distribution Flags".
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "FLAG_NAMES",
    "MANDATORY_25",
    "MANDATORY_26",
    "OUR_FLAGS",
    "Flag",
    "expand",
    "flag_names",
    "missing",
    "offered",
]


class Flag:
    """One capability each, an int; the comment says what a peer without it cannot do."""

    PUBLISHED: Final = 0x1  # be listed by nodes(): both sides need it, else both are hidden
    ATOM_CACHE: Final = 0x2  # the cache before R13, never offered
    EXTENDED_REFERENCES: Final = 0x4
    DIST_MONITOR: Final = 0x8  # ops 19, 20, 21
    FUN_TAGS: Final = 0x10
    DIST_MONITOR_NAME: Final = 0x20  # the same by name
    HIDDEN_ATOM_CACHE: Final = 0x40
    NEW_FUN_TAGS: Final = 0x80
    EXTENDED_PIDS_PORTS: Final = 0x100
    EXPORT_PTR_TAG: Final = 0x200
    BIT_BINARIES: Final = 0x400
    NEW_FLOATS: Final = 0x800
    UNICODE_IO: Final = 0x1000  # I/O requests with an encoding
    DIST_HDR_ATOM_CACHE: Final = 0x2000  # cache references in the header
    SMALL_ATOM_TAGS: Final = 0x4000
    UTF8_ATOMS: Final = 0x10000
    MAP_TAG: Final = 0x20000
    BIG_CREATION: Final = 0x40000
    SEND_SENDER: Final = 0x80000  # op 22; without it op 2
    BIG_SEQTRACE_LABELS: Final = 0x100000
    EXIT_PAYLOAD: Final = 0x400000  # ops 24, 26, 28; without it 3, 8, 21 with the reason inside
    FRAGMENTS: Final = 0x800000
    HANDSHAKE_23: Final = 0x1000000  # version 6 of the handshake
    UNLINK_ID: Final = 0x2000000  # ops 35, 36; without it op 4
    MANDATORY_25_DIGEST: Final = 0x4000000  # stands for all of MANDATORY_25
    SPAWN: Final = 1 << 32  # ops 29, 31
    NAME_ME: Final = 1 << 33  # a request: the dialler has no name and wants one
    V4_NC: Final = 1 << 34
    ALIAS: Final = 1 << 35  # op 33
    LOCAL_EXT: Final = 1 << 36  # inside OTP only
    ALTACT_SIG: Final = 1 << 37  # op 37
    NATIVE_RECORDS: Final = 1 << 38  # RECORD_EXT in terms sent to it


MANDATORY_25: Final = 0x1070F94
"""What OTP 25 and everything after it demands of a peer."""

MANDATORY_26: Final = MANDATORY_25 | Flag.V4_NC | Flag.UNLINK_ID
"""What OTP 26 and later demand: V4_NC and UNLINK_ID too."""

OUR_FLAGS: Final = 0x6D07DF7FBC
"""What this package can do, and offers: the default of OTP 29, without PUBLISHED."""

#: The name of each flag.
FLAG_NAMES: Final[dict[int, str]] = {flag: name for name, flag in vars(Flag).items() if name[0] != "_"}


def expand(flags: int) -> int:
    """Return ``flags`` with MANDATORY_25 in place of its digest, where only the digest came."""
    return flags | MANDATORY_25 if flags & Flag.MANDATORY_25_DIGEST else flags


def missing(flags: int, required: int = MANDATORY_25) -> int:
    """Return those of ``required`` that ``flags`` lacks."""
    return required & ~expand(flags)


def offered(*, hidden: bool, without: int = 0) -> int:
    """Return the flags a node offers.

    Args:
        hidden: leaves PUBLISHED out.
        without: flags to leave out too; only DIST_HDR_ATOM_CACHE and FRAGMENTS can be left out
            without consequence.
    """
    flags = OUR_FLAGS if hidden else OUR_FLAGS | Flag.PUBLISHED
    return flags & ~without


def flag_names(flags: int) -> str:
    """Return the names of ``flags`` for a message: ``"MAP_TAG, NEW_FLOATS"``."""
    names = []
    while flags > 0:
        lowest = flags & -flags
        names.append(FLAG_NAMES.get(lowest, f"16#{lowest:X}"))
        flags ^= lowest
    return ", ".join(names)
