"""A real BEAM as the other codec: frames of 4-byte length on its stdin and stdout.

Needs no distribution.
"""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, cast

from pynode.etf import decode, encode
from pynode.terms import Atom, atom
from pynode.testing import BeamMissing, Release

_PROGRAM = r"""
Try = fun(F) -> try F() catch _:_ -> error end end,
Forms = fun(Bin) ->
    try binary_to_term(Bin) of
        T ->
            [term_to_binary(T),
             term_to_binary(T, [{minor_version, 1}]),
             term_to_binary(T, [{minor_version, 2}]),
             term_to_binary(T, [compressed]),
             term_to_binary(T, [{compressed, 9}, {minor_version, 2}]),
             iolist_to_binary(term_to_iovec(T))]
            ++ [D || D <- [Try(fun() -> term_to_binary(T, [deterministic]) end)], D =/= error]
    catch _:_ -> error end end,
Answer = fun
    ({forms, Bins}) -> [Forms(B) || B <- Bins];
    ({used, Bins}) -> [Try(fun() -> element(2, binary_to_term(B, [used])) end) || B <- Bins];
    ({verdicts, Pairs}) ->
        [Try(fun() ->
            A = binary_to_term(X), B = binary_to_term(Y),
            {A =:= B, A == B, A < B, erts_internal:cmp_term(A, B)} end) || {X, Y} <- Pairs];
    ({parse, Texts}) ->
        [Try(fun() ->
            {ok, Tokens, _} = erl_scan:string(unicode:characters_to_list(<<T/binary, ".">>)),
            {ok, Term} = erl_parse:parse_term(Tokens),
            term_to_binary(Term) end) || T <- Texts];
    ({eval, Text}) ->
        {ok, Tokens, _} = erl_scan:string(unicode:characters_to_list(Text)),
        {ok, Exprs} = erl_parse:parse_exprs(Tokens),
        {value, Value, _} = erl_eval:exprs(Exprs, []),
        term_to_binary(Value)
end,
Port = open_port({fd, 0, 1}, [{packet, 4}, binary, eof]),
Loop = fun Loop() ->
    receive
        {Port, {data, Bin}} ->
            port_command(Port, term_to_binary(Answer(binary_to_term(Bin)))), Loop();
        {Port, eof} -> halt(0)
    end end,
Loop().
"""


def erl_command() -> list[str] | None:
    """Return the command of the Erlang to test against, None where there is none."""
    try:
        return Release.find(near=Path(__file__)).command("erl")
    except BeamMissing:
        return None


class BeamCodec:
    """Asks the BEAM what it makes of bytes.  A context manager."""

    def __init__(self, command: list[str]) -> None:
        program = " ".join(_PROGRAM.split())
        self._process = subprocess.Popen(
            [*command, "-noinput", "-boot", "start_clean", "-eval", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "ERL_CRASH_DUMP_SECONDS": "0", "HOME": "/tmp"},
        )
        self.release = int(decode(self.eval("list_to_integer(erlang:system_info(otp_release)).")))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        process = self._process
        cast("IO[bytes]", process.stdin).close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        cast("IO[bytes]", process.stdout).close()

    def ask(self, request: Any) -> Any:
        """Send one request of the program above, and return its answer."""
        frame = encode(request)
        stdin = cast("IO[bytes]", self._process.stdin)
        stdin.write(struct.pack(">I", len(frame)) + frame)
        stdin.flush()
        (size,) = struct.unpack(">I", self._read(4))
        return decode(self._read(size))

    def _read(self, size: int) -> bytes:
        data = cast("IO[bytes]", self._process.stdout).read(size)
        assert len(data) == size, f"erl ended with {self._process.poll()}"
        return data

    def forms(self, binaries: list[bytes]) -> list[list[bytes] | None]:
        """Return, for each, what ``term_to_binary`` makes of the term, in several options.

        None where ``binary_to_term`` refuses the bytes.
        """
        answers = self.ask((atom.forms, binaries))
        return [None if isinstance(answer, Atom) else answer for answer in answers]

    def verdicts(
        self, pairs: list[tuple[bytes, bytes]]
    ) -> list[tuple[bool, bool, bool, int] | None]:
        """Return, for each, ``=:=``, ``==``, ``<`` and the order of map keys (below 0, 0, above).

        None where ``binary_to_term`` refuses one of the two.
        """
        answers = self.ask((atom.verdicts, pairs))
        return [None if isinstance(answer, Atom) else answer for answer in answers]

    def parse(self, texts: list[str]) -> list[bytes | None]:
        """Return the external form of each text, read as an Erlang term; None where it is none."""
        answers = self.ask((atom.parse, texts))
        return [None if isinstance(answer, Atom) else answer for answer in answers]

    def eval(self, text: str) -> bytes:
        """Return the external form of the value of some expressions that end with a dot."""
        return cast("bytes", self.ask((atom.eval, text)))
