"""The proof of the magic cookie: a digest of cookie and challenge.

Source: ``gen_digest`` in ``dist_util.erl``.
"""

from __future__ import annotations

import hashlib
import hmac

__all__ = ["DIGEST_BYTES", "digest", "digest_matches"]

DIGEST_BYTES = 16


def digest(cookie: bytes, challenge: int) -> bytes:
    """Return ``MD5(cookie ++ decimal text of the challenge)``; the challenge is unsigned."""
    return hashlib.md5(cookie + b"%d" % challenge, usedforsecurity=False).digest()


def digest_matches(cookie: bytes, challenge: int, given: bytes) -> bool:
    """Compare ``given`` with the right digest in constant time."""
    return hmac.compare_digest(digest(cookie, challenge), given)
