from __future__ import annotations

import hashlib

import pytest

from pynode.config import has_long_host
from pynode.dist import cookie
from pynode.dist.flags import (
    MANDATORY_25,
    MANDATORY_26,
    OUR_FLAGS,
    Flag,
    expand,
    flag_names,
    missing,
    offered,
)
from pynode.dist.local import split_name


def test_mandatory_sets_are_those_of_otp() -> None:
    assert MANDATORY_25 == 0x1070F94
    assert MANDATORY_26 == 0x403070F94
    assert OUR_FLAGS & MANDATORY_26 == MANDATORY_26


def test_flags_have_the_bits_of_dist_hrl() -> None:
    assert int(Flag.DIST_HDR_ATOM_CACHE) == 0x2000
    assert int(Flag.FRAGMENTS) == 0x800000
    assert int(Flag.MANDATORY_25_DIGEST) == 1 << 26
    assert (Flag.SPAWN, Flag.NAME_ME, Flag.V4_NC, Flag.ALIAS) == (
        1 << 32,
        1 << 33,
        1 << 34,
        1 << 35,
    )
    assert (Flag.LOCAL_EXT, Flag.ALTACT_SIG, Flag.NATIVE_RECORDS) == (1 << 36, 1 << 37, 1 << 38)


def test_our_offer_is_that_of_otp_29() -> None:
    assert offered(hidden=True) == 0x6D07DF7FBC
    assert offered(hidden=False) == 0x6D07DF7FBD
    assert offered(hidden=True, without=Flag.FRAGMENTS) == 0x6D07DF7FBC - 0x800000
    assert not OUR_FLAGS & (Flag.NAME_ME | Flag.LOCAL_EXT)


def test_the_digest_flag_stands_for_the_old_ones() -> None:
    assert expand(Flag.MANDATORY_25_DIGEST) & MANDATORY_25 == MANDATORY_25
    assert expand(4) == 4
    assert missing(Flag.MANDATORY_25_DIGEST) == 0
    assert missing(MANDATORY_25, MANDATORY_26) == Flag.V4_NC | Flag.UNLINK_ID


def test_names_for_messages() -> None:
    assert flag_names(missing(MANDATORY_25 & ~0x20800)) == "NEW_FLOATS, MAP_TAG"
    assert flag_names(1 << 50) == "16#4000000000000"
    assert flag_names(0) == ""


def test_digest_is_md5_of_cookie_and_decimal_challenge() -> None:
    assert cookie.digest(b"c", 4294967295) == hashlib.md5(b"c4294967295").digest()
    assert len(cookie.digest(b"", 0)) == cookie.DIGEST_BYTES
    assert cookie.digest_matches(b"c", 7, hashlib.md5(b"c7").digest())
    assert not cookie.digest_matches(b"c", 8, hashlib.md5(b"c7").digest())
    assert not cookie.digest_matches(b"c", 7, b"")


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("a@b", ("a", "b")),
        ("a@b.c", ("a", "b.c")),
        ("a", None),
        ("@b", None),
        ("a@", None),
        ("", None),
        ("a@b@c", None),
        ("a@@b", None),
    ],
)
def test_split_name(name: str, parts: tuple[str, str] | None) -> None:
    assert split_name(name) == parts


def test_long_hosts() -> None:
    assert has_long_host("a.b")
    assert has_long_host("127.0.0.1")
    assert has_long_host("::1")
    assert not has_long_host("localhost")
