"""Every test of the codec runs on both implementations, where the compiled one is in use."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pynode import etf
from pynode.etf import _pure_decoder, _pure_encoder

FUNCTIONS = (
    *("decode", "decode_payload", "decode_prefix"),
    *("encode", "encode_payload", "encode_pieces"),
)
CODECS: dict[str, Any] = {
    "pure": SimpleNamespace(
        decode=_pure_decoder.decode,
        decode_payload=_pure_decoder.decode_payload,
        decode_prefix=_pure_decoder.decode_prefix,
        encode=_pure_encoder.encode,
        encode_payload=_pure_encoder.encode_payload,
        encode_pieces=_pure_encoder.encode_pieces,
    ),
    **({"compiled": etf} if etf.IMPLEMENTATION == "compiled" else {}),
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what a module with a function of ``pynode.etf`` has once for each codec."""
    for mark in metafunc.definition.iter_markers("parametrize"):
        if mark.args[0] == "codec":
            return  # it is for one of them
    if any(getattr(metafunc.module, name, None) is getattr(etf, name) for name in FUNCTIONS):
        metafunc.parametrize("codec", CODECS, indirect=True)


@pytest.fixture(autouse=True)
def codec(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the codec; the module's functions are those of it."""
    name: str = getattr(request, "param", etf.IMPLEMENTATION)
    for function in FUNCTIONS:
        if getattr(request.module, function, None) is getattr(etf, function):
            monkeypatch.setattr(request.module, function, getattr(CODECS[name], function))
    return name
