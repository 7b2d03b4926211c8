"""Characters: which are printable, how they are written in quotes, and how wide text is."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Any, Final

__all__ = ["LATIN1", "UNICODE", "clusters", "escaped", "length", "list_text", "take"]

#: All characters are printable; the number of the leading ones is that of the match.
LATIN1: Final = re.compile("[ -~\xa0-\xff\n\r\t\v\b\f\x1b]*")
#: By those that are not: to compile a class with large ranges takes milliseconds.
UNICODE: Final = re.compile("[^\x00-\x07\x0e-\x1a\x1c-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]*")

_NAMED: Final = {
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\b": "\\b",
    "\f": "\\f",
    "\x1b": "\\e",
    "\x7f": "\\d",
    "\\": "\\\\",
}
_ESCAPED: Final = re.compile("[\x00-\x1f\x7f-\x9f\\\\\"']")
#: The same, and all beyond Latin-1.
_ESCAPED_LATIN1: Final = re.compile("[^ !#-&(-[\\]-~\xa0-\xff]")


def escaped(text: str, quote: str, *, latin1: bool = False) -> str:
    """Return ``text`` in quotes; ``latin1`` escapes what is beyond Latin-1."""

    def escape(found: re.Match[str]) -> str:
        character = found[0]
        if character in "\"'":
            return "\\" + character if character == quote else character
        code = ord(character)
        if code > 0xFF:
            return f"\\x{{{code:X}}}"
        return _NAMED.get(character) or f"\\{code:03o}"

    pattern = _ESCAPED_LATIN1 if latin1 else _ESCAPED
    return f"{quote}{pattern.sub(escape, text)}{quote}"


def list_text(elements: list[Any]) -> str | None:
    """Return the text of a list of characters, None for any other list."""
    for element in elements:
        if type(element) is not int or not 0 <= element <= 0x10FFFF:
            return None
    return "".join(map(chr, elements))


def length(text: str) -> int:
    """Return how wide OTP takes ``text`` to be: clusters where anything is beyond Latin-1."""
    if text.isascii() or all(character <= "\xff" for character in text):
        return len(text)
    return sum(1 for _ in clusters(text))


def take(text: str, count: int) -> str:
    """Return the first ``count`` clusters."""
    if text.isascii() and "\r" not in text:
        return text[:count]
    parts: list[str] = []
    for cluster in clusters(text):
        if len(parts) == count:
            break
        parts.append(cluster)
    return "".join(parts)


# --------------------------------------------------------------------------- clusters

_JOINER: Final = "\u200d"
_MARKS: Final = frozenset(("Mn", "Me", "Mc"))
_CONTROLS: Final = frozenset(("Cc", "Zl", "Zp", "Cs"))


def clusters(text: str) -> Iterator[str]:
    """Yield what a reader takes for one character each: letters with their marks, flags, emoji.

    The rules of Unicode's annex 29 in short: marks and joiners belong to what is before them, a
    joiner binds two pictures, letters of Hangul make syllables, regional letters make pairs.
    """
    start = 0
    for at in range(1, len(text)):
        if not _belongs(text, start, at):
            yield text[start:at]
            start = at
    if text:
        yield text[start:]


def _belongs(text: str, start: int, at: int) -> bool:
    """Whether the character at ``at`` goes on with the cluster that begins at ``start``."""
    character, before = text[at], text[at - 1]
    if before < "\u0300" and character < "\u0300":
        return before == "\r" and character == "\n"
    if unicodedata.category(before) in _CONTROLS:
        return False
    if _extends(character):
        return True
    if before == _JOINER:
        return _is_picture(character) and _is_picture(text[start])
    syllable = _HANGUL.get(_hangul(before))
    if syllable is not None and _hangul(character) in syllable:
        return True
    return _is_regional(character) and _is_regional(before) and (at - start) % 2 == 1


def _extends(character: str) -> bool:
    return (
        unicodedata.category(character) in _MARKS
        or character in "\u200c\u200d\uff9e\uff9f"
        or "\U0001f3fb" <= character <= "\U0001f3ff"
        or "\U000e0020" <= character <= "\U000e007f"
    )


def _is_picture(character: str) -> bool:
    return unicodedata.category(character) == "So" and character >= "\u00a9"


def _is_regional(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


#: What may follow a letter of Hangul in its syllable: leading, vowel, trailing; both kinds of
#: ready-made syllables.
_HANGUL: Final = {"L": ("L", "V", "LV", "LVT"), "LV": ("V", "T"), "V": ("V", "T"), "LVT": ("T",)}
_HANGUL["T"] = ("T",)


def _hangul(character: str) -> str:
    code = ord(character)
    if 0xAC00 <= code <= 0xD7A3:
        return "LVT" if (code - 0xAC00) % 28 else "LV"
    if 0x1100 <= code <= 0x115F or 0xA960 <= code <= 0xA97C:
        return "L"
    if 0x1160 <= code <= 0x11A7 or 0xD7B0 <= code <= 0xD7C6:
        return "V"
    if 0x11A8 <= code <= 0x11FF or 0xD7CB <= code <= 0xD7FB:
        return "T"
    return ""
