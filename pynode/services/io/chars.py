"""Text as it stands in requests: chardata in one of two encodings, prompts, and the way back."""

from __future__ import annotations

from typing import Any, Final

from pynode.terms import Atom, ImproperList, atom, charlist_text
from pynode.terms.formats import FormatError, NotHere, Settings, format_text, print_term

__all__ = ["LATIN1", "UNICODE", "BadText", "prompt_text", "text_of", "value_of"]

LATIN1: Final = atom.latin1
UNICODE: Final = atom.unicode


class BadText(ValueError):
    """It is no chardata of its encoding."""


def text_of(encoding: Any, chars: Any) -> str:
    """Return the text of ``chars``, which are ``unicode:chardata()`` or ``iodata()``.

    Raises:
        BadText: they are not.
    """
    if encoding == LATIN1:
        return _latin1(chars)
    if encoding != UNICODE:
        raise BadText(f"there is no encoding {encoding!r}")
    if isinstance(chars, int):
        raise BadText("an integer is no chardata")
    try:
        text = charlist_text(chars)
        text.encode()  # a surrogate in a str of this node
    except ValueError as error:
        raise BadText(str(error)) from None
    return text


def _latin1(chars: Any) -> str:
    if isinstance(chars, bytes):
        return chars.decode("latin-1")
    data = bytearray()
    pending: list[Any] = [chars]
    if not isinstance(chars, list | ImproperList):
        raise BadText(f"{type(chars).__name__} is no iodata")
    while pending:
        item = pending.pop()
        if type(item) is int and 0 <= item <= 0xFF:
            data.append(item)
        elif isinstance(item, bytes):
            data += item
        elif isinstance(item, list):
            pending += reversed(item)
        elif isinstance(item, ImproperList):
            pending.append(item.tail)
            pending += reversed(item.elements)
        else:
            raise BadText(f"{type(item).__name__} has no place in iodata")
    return data.decode("latin-1")


def value_of(text: str, encoding: Any, *, binary: bool) -> Any:
    """Return what was read as a binary or as a charlist of the encoding that was asked for.

    Raises:
        BadText: there are characters beyond Latin-1, and that is what was asked for.
    """
    if encoding == LATIN1 and any(character > "\xff" for character in text):
        raise BadText("beyond Latin-1")
    if binary:
        return text.encode("latin-1" if encoding == LATIN1 else "utf-8")
    return list(map(ord, text))


def prompt_text(prompt: Any, settings: Settings) -> str:
    """Return the text of a prompt: chardata, an atom, ``{format, Control, Args}`` or any term.

    ``???`` where it cannot be formatted.  Source: io_lib.erl, ``format_prompt/2``.
    """
    try:
        match prompt:
            case (tag, control, arguments) if tag == atom.format:
                return format_text(control, arguments, settings)
            case list() | bytes() | Atom() | ImproperList() | bool() | None:
                return format_text(b"~ts", [prompt], settings)
        return print_term(prompt, settings=settings)
    except (FormatError, NotHere):
        return "???"
