"""Erlang modules for a BEAM of a test, compiled there: the machine of the tests needs no erlc."""

from __future__ import annotations

from typing import Any

import pytest

from pynode.terms import atom
from pynode.testing import Beam

__all__ = ["load"]

_COMPILE = """
(fun() ->
    Read = fun Read(Text, Forms) ->
        case erl_scan:tokens([], Text, 1) of
            {done, {ok, Tokens, _}, Rest} ->
                {ok, Form} = erl_parse:parse_form(Tokens),
                Read(Rest, [Form | Forms]);
            _ ->
                lists:reverse(Forms)
        end
    end,
    {ok, Module, Code} = compile:forms(Read(binary_to_list(%SOURCE%), []), []),
    {module, Module} = code:load_binary(Module, "test", Code),
    Module
end)().
"""


async def load(ex: Beam, source: str) -> None:
    """Compile and load a module on ``ex``, which evaluates Erlang; no macros, no includes.

    Where that release comes without the compiler, the test is skipped.
    """
    if await ex.arpc("code", "which", [atom.compile]) == atom.non_existing:
        pytest.skip(f"OTP {ex.otp_release} has no compiler here")
    name = f"Source{abs(hash(source))}"
    bindings: dict[str, Any] = {name: source.encode()}
    await ex.aeval(_COMPILE.replace("%SOURCE%", name), timeout=30, **bindings)
