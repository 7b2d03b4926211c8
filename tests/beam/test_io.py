"""Input and output between Python and a BEAM: leaders of either side, and io_lib's formats."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings, strategies as st

import pynode
from pynode.errors import DeviceError
from pynode.node import Node
from pynode.services.io.stdin import Stdin
from pynode.terms import Atom, BitString, ExportFun, ImproperList, Record, atom, charlist
from pynode.terms.formats import FormatError, Settings, format_text
from pynode.testing import Beam, eventually
from tests.beam.meshes import erl

PUT = (atom.put_chars, atom.unicode)


class Typed(Stdin):
    """Input that is all there, and ends."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text.encode()

    async def read(self) -> bytes:
        text, self.text = self.text, b""
        return text


def console(node: Node, text: str = "") -> list[str]:
    """Give the node's ``user`` this input; return what it writes."""
    written: list[str] = []
    node.services.user.write = written.append
    node.services.user.stdin = Typed(text)
    return written


# --------------------------------------------------------------------------- our leader

ELIXIR = r"""
test = self()
spawn(fn ->
  Process.group_leader(self(), leader)
  said = [
    IO.puts("caf\u00e9"),
    IO.write([?a, "b", [?\n]]),
    IO.inspect(%{key: [1, 2]}, label: "seen"),
    IO.inspect({:a, "b"}, width: 5),
    :io.format("~p ~ts~n", [[1, :a], "\u20ac"]),
    :io.put_chars("plain\n"),
    :io.write({:tuple, "b"}),
    :io.nl(),
    IO.puts("#{inspect(:io.columns())}"),
    IO.gets("name? "),
    IO.getn("", 2),
    IO.read(:line),
    :io.get_chars(~c"", 3),
    IO.binread(:line),
    :io.fread(~c"> ", ~c"~d ~s"),
    :io.read(~c"term: "),
    IO.gets(:end),
    :io.setopts([:list]),
    IO.gets("list? "),
    :io.setopts([:binary]),
    IO.read(:line),
    Enum.to_list(IO.stream(:stdio, :line)),
    Keyword.take(:io.getopts(), [:binary, :encoding]),
    try do :io.format("~p", []) rescue error -> error.__struct__ end
  ]
  send(test, {:said, said})
end)
receive do {:said, said} -> said after 20_000 -> :nothing end
"""

TYPED = 'Ann\n\u20acxyz\nabc\u00e9\n12 word\n{ok, [1,\n  "two"]}.\nend\nlisted\nlast 1\nlast 2'


async def test_elixir_with_our_leader(beam: Any, py_node: Any) -> None:
    ex = beam()
    async with py_node() as node:
        written = console(node, TYPED)
        said = await ex.aeval(ELIXIR, leader=node.services.user.process.pid, timeout=30)
        assert said == [
            atom.ok,
            atom.ok,
            {atom.key: [1, 2]},
            (atom.a, b"b"),
            atom.ok,
            atom.ok,
            atom.ok,
            atom.ok,
            atom.ok,
            b"Ann\n",
            "\u20acx".encode(),
            b"yz\n",
            b"abc",
            b"\xe9\n",
            (atom.ok, [12, charlist("word")]),
            (atom.ok, (atom.ok, [1, charlist("two")])),
            b"end\n",
            atom.ok,
            charlist("listed\n"),
            atom.ok,
            b"last 1\n",
            [b"last 2"],
            [(atom.binary, True), (atom.encoding, atom.unicode)],
            Atom("Elixir.ArgumentError"),
        ]
        assert "".join(written) == (
            'caf\u00e9\nab\nseen: %{key: [1, 2]}\n{:a,\n "b"}\n[1,a] \u20ac\nplain\n'
            "{tuple,<<98>>}\n{:error, :enotsup}\nname? > term: endlist? "
        )


async def test_standard_error(beam: Any, py_node: Any, capsys: Any) -> None:
    ex = beam()
    async with py_node() as node:
        pid = node.whereis("standard_error")
        assert await ex.aeval('IO.puts(pid, "to \\u00e9")', pid=pid) == atom.ok
        await node.io.puts("and here", device="standard_error")
    assert capsys.readouterr().err == "to \u00e9\nand here\n"


REQUESTS = """
fun() ->
    Test = self(),
    spawn(fun() ->
        group_leader(Leader, self()),
        Test ! {answers, [try io:request(standard_io, R) catch C:E -> {C, E} end || R <- Requests]}
    end),
    receive {answers, A} -> A after 10000 -> none end
end().
"""

FINE: list[Any] = [
    (*PUT, b"text\n"),
    (*PUT, [0x20AC, [b"x\n"]]),
    (atom.put_chars, atom.latin1, b"\xe9\n"),
    (atom.put_chars, b"old\n"),
    (*PUT, atom.io_lib, atom.format, [b"~p~n", [[{1: b"x"}]]]),
    (*PUT, atom.io_lib, atom.write, [(1, b"a")]),
    (*PUT, atom.io_lib, atom.write, [(1, [2, 3, 4]), 2]),
    (*PUT, atom.io_lib, atom.print, [(1, b"a")]),
    (*PUT, atom.io_lib, atom.print, [list(range(40)), 1, 30, -1]),
    (*PUT, atom.io_lib, atom.nl, []),
    (*PUT, atom.io_lib, atom.format, [b"~p~n", [list(range(50))], [(atom.chars_limit, 20)]]),
    (*PUT, atom.lists, atom.reverse, [charlist("\nba")]),
    (atom.put_chars, atom.io_lib, atom.nl, []),
    (atom.requests, [(*PUT, b"1"), (*PUT, b"2\n")]),
    (atom.setopts, [(atom.encoding, atom.unicode)]),
]
WRONG: list[Any] = [
    (*PUT, [-1]),
    (*PUT, atom.text),
    (*PUT, 65),
    (atom.put_chars, atom.latin1, [256]),
    (*PUT, atom.io_lib, atom.format, [b"~p", []]),
    (*PUT, atom.nowhere, atom.none, []),
    (*PUT, atom.erlang, atom.node, []),
    (atom.setopts, [atom.rubbish]),
    atom.rubbish,
    (atom.rubbish, 1, 2),
    (atom.get_geometry, atom.depth),
]


async def test_our_answers_are_those_of_the_beams_own_user(beam: Any, py_node: Any) -> None:
    ex = erl(beam)
    user = await ex.aeval("io:setopts(user, [{encoding, unicode}]), whereis(user).")
    async with py_node() as node:
        written = console(node)
        leader = node.services.user.process.pid
        before = len(ex.output)
        theirs = await ex.aeval(REQUESTS, Leader=user, Requests=FINE)
        assert await ex.aeval(REQUESTS, Leader=leader, Requests=FINE) == theirs
        assert set(theirs) == {atom.ok}
        end = await ex.aeval('io:put_chars(user, "the end\\n").')
        assert end == atom.ok
        await eventually(lambda: "the end" in ex.output)
        lines = ex.output[before : ex.output.index("the end")]
        assert "".join(written).splitlines() == lines
        for request in WRONG:
            [theirs] = await ex.aeval(REQUESTS, Leader=user, Requests=[request])
            [ours] = await ex.aeval(REQUESTS, Leader=leader, Requests=[request])
            assert (theirs[0], ours[0]) == (atom.error, atom.error), request
        assert await node.ping(ex.name)


async def test_crash_reports_of_a_beam_are_logged(
    beam: Any, py_node: Any, caplog: pytest.LogCaptureFixture
) -> None:
    ex = erl(beam)
    caplog.set_level(logging.DEBUG, "pynode.remote")
    code = """
        spawn(fun() ->
            group_leader(Leader, self()),
            logger:error("formatted ~p ~ts", [{a, 1}, "caf\u00e9"]),
            logger:warning("plain"),
            logger:notice(#{what => report, who => [1, 300]}),
            spawn(fun() -> error(on_purpose) end),
            proc_lib:spawn(fun() -> exit(by_proc_lib) end)
        end), ok.
    """

    def logged(level: str, text: str) -> bool:
        return any(
            record.__dict__["erlang_level"] == level and text in record.getMessage()
            for record in caplog.records
            if record.name == "pynode.remote"
        )

    async with py_node() as node:
        await ex.aeval(code, Leader=node.services.user.process.pid)
        await eventually(lambda: logged("error", "formatted {a,1} caf\u00e9"))
        await eventually(lambda: logged("warning", "plain"))
        await eventually(lambda: logged("notice", "    what: report\n    who: [1,300]"))
        await eventually(lambda: logged("error", "{on_purpose,"))
        await eventually(lambda: logged("error", "by_proc_lib"))
        [report] = [r for r in caplog.records if "what: report" in r.getMessage()]
        assert report.__dict__["erlang_meta"]["gl"] == node.services.user.process.pid


# --------------------------------------------------------------------------- a BEAM's leader


async def test_python_writes_to_a_beam(beam: Any, py_node: Any) -> None:
    ex = erl(beam)
    user = ("user", str(ex.name))
    await ex.aeval("io:setopts(user, [{encoding, unicode}]).")
    async with py_node() as node:
        await node.io.puts("from Python", b"caf\xc3\xa9", device=user)
        await node.io.format("~p and ~w~n", [b"text", (1, [2])], device=user)
        await node.io.inspect({atom.a: 1}, device=user)
        print("printed", "here", file=node.io.stream(await ex.aeval("whereis(user).")))

        async def body(process: Any) -> None:
            pynode.puts("of a process")

        leader = await ex.aeval("whereis(user).")
        node.spawn(body, group_leader=leader)
        wanted = ["from Python caf\u00e9", '<<"text">> and {1,[2]}', "%{a: 1}", "printed here"]
        await eventually(lambda: [*wanted, "of a process"] == ex.output[-5:])
        with pytest.raises(DeviceError) as caught:
            await node.io.format("~p", [], device=user)
        assert caught.value.reason in (atom.put_chars, atom.format)
        with pytest.raises(DeviceError):
            await node.io.request(atom.rubbish, device=user)
        path = await ex.aeval('ok = file:write_file("/tmp/pynode_io", <<"12 words\\nmore\\n">>).')
        assert path == atom.ok
        device = await ex.aeval(
            'Test = self(), spawn(fun() -> {ok, D} = file:open("/tmp/pynode_io", [read]), '
            "Test ! {opened, D}, receive stop -> ok end end), "
            "receive {opened, D} -> D end."
        )
        read = await node.io.get_until("", "io_lib", "fread", [charlist("~d")], device=device)
        assert read == (atom.ok, [12])
        assert [line async for line in node.io.lines(device=device)] == [" words\n", "more\n"]
        assert await ex.aeval('file:delete("/tmp/pynode_io").') == atom.ok


async def test_output_of_a_function_that_a_beam_calls_is_its_callers(
    beam: Any, py_node: Any
) -> None:
    ex = erl(beam)
    async with py_node() as node:

        async def asked() -> Any:
            pynode.puts("to the caller")
            print("printed there", file=pynode.io_stream())
            await node.io.puts("and waited for")
            return node.runtime.current().group_leader

        def computed() -> None:
            pynode.puts("from a thread")

        node.runtime.resolver.expose(asked, module="shop")
        node.runtime.resolver.expose(computed, module="shop", blocking=True)
        leader = await ex.aeval("group_leader(whereis(user), self()), whereis(user).")
        assert await ex.aeval("erpc:call(Node, shop, asked, []).", Node=node.name) == leader
        assert await ex.aeval("rpc:call(Node, shop, computed, []).", Node=node.name) is None
        wanted = ["to the caller", "printed there", "and waited for", "from a thread"]
        await eventually(lambda: ex.output[-4:] == wanted)


async def test_a_node_in_a_thread(py_node: Any) -> None:
    async with py_node() as two:
        written = console(two, "typed\n")
        options = {"epmd_port": two.config.epmd_port, "cookie": two.config.cookie}

        def program() -> Any:
            with Node.in_thread("threaded@localhost", **options) as node:
                user = ("user", str(two.name))
                node.io.puts("blocking", device=user)
                print("a line", file=node.io.stream(user))
                return node.io.gets("? ", device=user)

        assert await asyncio.to_thread(program) == "typed\n"
        assert "".join(written) == "blocking\na line\n? "


async def test_between_python_nodes(py_node: Any) -> None:
    async with py_node() as one, py_node() as two:
        written = console(two, "typed\n")
        user = ("user", str(two.name))
        await one.io.puts("across", device=user)
        assert await one.io.gets("? ", device=user) == "typed\n"
        assert await one.io.gets("? ", device=user) == atom.eof
        await one.io.format("~p~n", [[1, (atom.a, b"b")]], device=user)
        assert "".join(written) == 'across\n? ? [1,{a,<<"b">>}]\n'
        assert sys.stdin is not None


# --------------------------------------------------------------------------- formats

NAMES = ("ok", "error", "a_rather_long_tag_name", "Foo", "with space", "\u00e9", "\u0436", "if", "")
TEXT = st.text("abc xyz\"'\\\n\t\x01\x7f \u00e9\u00ff\u0436\u20ac\U0001f600", max_size=60)
ATOMS = st.sampled_from(NAMES).map(Atom) | st.booleans() | st.none()
FLOATS = st.floats(allow_nan=False, allow_infinity=False) | st.decimals(
    -10_000, 10_000, allow_nan=False, places=3
).map(float)
LEAVES = st.one_of(
    st.integers(),
    st.integers(-300, 300),
    ATOMS,
    FLOATS,
    TEXT.map(str.encode),
    # Zeros, because releases differ in whether they take other rubbish for Latin-1.
    st.binary(max_size=40).map(lambda data: b"\0" + data),
    TEXT.map(charlist),
    st.builds(BitString, st.sampled_from((b"\x10", b"a\x50")), st.sampled_from((4, 5))),
    st.just(ExportFun("lists", "map", 2)),
    st.sampled_from(([], (), {})),
)


def nested(inner: Any) -> Any:
    """Return containers of ``inner``; maps so small that a BEAM keeps their order."""
    return st.one_of(
        st.lists(inner, max_size=12),
        st.lists(inner, max_size=6).map(tuple),
        st.builds(lambda tag, items: (tag, *items), ATOMS, st.lists(inner, max_size=6)),
        st.dictionaries(TEXT.map(str.encode) | st.integers(1, 99), inner, max_size=8),
        st.builds(
            ImproperList,
            st.lists(inner, min_size=1, max_size=5),
            st.sampled_from((7, b"tail", (Atom("tagged"), b"x" * 40, b"y" * 40))),
        ),
    )


TERMS = st.recursive(LEAVES, nested, max_leaves=40)
STRINGS = ATOMS | st.one_of(
    TEXT.map(str.encode), TEXT.map(charlist), TEXT.map(lambda text: [[text.encode()], 65, [b"x"]])
)
WIDTHS = st.sampled_from(("", "", "", "10", "-10", "3", "40", "120", "0"))
PRECISIONS = st.sampled_from(("", "", "", ".3", ".12", ".20", ".1", ".5.0", ".12.x", "..*"))
ARGUMENTS: dict[str, Any] = {
    **dict.fromkeys("pw", TERMS.map(lambda term: [term])),
    **dict.fromkeys("PW", st.tuples(TERMS, st.integers(-1, 30)).map(list)),
    "s": STRINGS.map(lambda text: [text]),
    **dict.fromkeys("efg", FLOATS.map(lambda number: [number])),
    **dict.fromkeys("bB+#", st.integers().map(lambda number: [number])),
    **dict.fromkeys("xX", st.integers().map(lambda number: [number, charlist("16#")])),
    "c": st.integers(32, 0x2FF).map(lambda number: [number]),
    **dict.fromkeys("~n", st.just([])),
    "i": st.just([1]),
}


@st.composite
def controls(draw: Any) -> tuple[list[int], list[Any]]:
    """Return a control string with one sequence, and arguments that mostly fit it."""
    character = draw(st.sampled_from("pppppppwwPPWsssefgbBxX+#c~ni"))
    precision = draw(PRECISIONS)
    arguments = draw(ARGUMENTS[character])
    if precision.endswith("*"):
        arguments = [ord("*"), *arguments]
    modifiers = draw(st.sampled_from(("", "t", "l", "tl")))
    before = draw(st.sampled_from(("", "", "at ", "line\n\tx  ", "\u00e9 ", "~~~n ")))
    behind = draw(st.sampled_from(("", " tail", "~n", "~p")))
    if behind == "~p":
        arguments = [*arguments, draw(LEAVES)]
    text = f"{before}~{draw(WIDTHS)}{precision}{modifiers}{character}{behind}"
    return charlist(text), arguments


FORMATTED = """
[{C, A, try unicode:characters_to_binary(io_lib:format(C, A)) of
            Text when is_binary(Text) -> Text;
            _ -> error
        catch error:badarg -> error end} || {C, A} <- Cases].
"""


def test_formats_are_those_of_io_lib(beam: Any) -> None:
    ex: Beam = erl(beam)
    latin1 = Settings(unicode=ex.eval("io:printable_range().") == atom.unicode)
    seen: set[bytes] = set()

    @settings(
        max_examples=60,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,),  # shrinking asks the BEAM for minutes
    )
    @given(st.lists(controls(), min_size=15, max_size=15))
    def compare(cases: list[Any]) -> None:
        for control, arguments, theirs in ex.eval(FORMATTED, Cases=cases):
            try:
                ours: Any = format_text(control, arguments, latin1).encode()
            except FormatError:
                ours = atom.error
            assert ours == theirs, (control, arguments)
            if ours != atom.error:
                seen.add(ours)

    compare()
    assert len(seen) > 200


def test_long_terms_are_broken_as_io_lib_does(beam: Any) -> None:
    ex: Beam = erl(beam)
    deep: Any = [(atom.leaf, 1.5)]
    for number in range(60):
        kinds: tuple[Any, ...] = ((atom.node, number, deep), {b"key": deep, 1: [deep]}, [deep, 1])
        deep = kinds[number % 3] if number < 12 else [(atom.level, deep)]
    terms: list[Any] = [
        deep,
        list(range(2000)),
        [(Atom(f"key{n}"), b"value" * (n % 7), {n: [1.5] * (n % 40)}) for n in range(60)],
        {n: b"\0" * n for n in range(30)},
        (atom.a_very_long_tag_indeed_longer_than_forty_columns, [(atom.x, list(range(30)))] * 3),
        bytes(range(256)) * 3,
        [charlist("text " * 30), [b"text " * 30], "\u20ac" * 100],
    ]
    cases = [(charlist(f"x ~{width}p~n"), [term]) for term in terms for width in ("", 30, 200, 0)]
    cases += [
        (charlist(f"~t{c}"), [term, depth]) for term in terms for c in "PW" for depth in (7, 20)
    ]
    shapes: list[Any] = [
        [1, 22, (atom.tag, 3, [4, 55])],
        ImproperList([atom.abc, 12], b"tail"),
        (atom.outer, ImproperList([1], atom.tail), [ImproperList([[1.5]], (atom.t, 2))]),
        {atom.key: 1, b"long key": {2: [3, 4]}, (1, 2): atom.v},
        ((b"\x00\x01\x02\x03", 1), [[]], atom.end),
    ]
    cases += [(charlist(f"~{width}p"), [shape]) for shape in shapes for width in range(4, 64)]
    for control, arguments, theirs in ex.eval(FORMATTED, Cases=cases, timeout=60):
        ours = format_text(control, arguments, Settings(unicode=False)).encode()
        assert ours == theirs, control


def test_native_records_and_ordered_maps(beam: Any) -> None:
    ex: Beam = erl(beam)
    cases: list[Any] = []
    if ex.otp_release >= 26:
        shuffled = dict.fromkeys((5, 1, 9, 2), atom.v) | {b"b": 1, atom.a: 2, 1.5: 3}
        cases += [(charlist(f"~{m}{c}"), [shuffled]) for m in ("k", "tk") for c in "pw"]
        cases += [(charlist(f"~K{c}"), [atom.reversed, shuffled]) for c in "pw"]
    if ex.otp_release >= 29:
        record = Record("mod", "Name", True, [("a", 1), ("b", [b"text" * 9, 2.5]), ("c", ())])
        cases += [(charlist("~p~n~w"), [[record], record]), (charlist("~30p"), [record])]
        cases += [(charlist(f"~{c}"), [record, d]) for c in "PW" for d in (1, 2, 3, 4)]
        cases += [(charlist("~20p"), [Record("m", "empty", False, [])])]
    for control, arguments, theirs in ex.eval(FORMATTED, Cases=cases):
        ours = format_text(control, arguments, Settings(unicode=False)).encode()
        assert ours == theirs, (control, arguments)
