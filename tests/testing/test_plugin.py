"""The pytest plugin, from outside: each test here runs a pytest of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.fixture(autouse=True)
def own_folder(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nfilterwarnings = error::ResourceWarning\n")


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", *arguments)


WITHOUT_ERLANG = """
    import pytest

    @pytest.fixture(autouse=True)
    def no_erlang(monkeypatch):
        monkeypatch.setenv("PATH", "/nonexistent")
"""


@pytest.mark.beam
@pytest.mark.elixir
def test_the_output_of_each_node_is_in_the_report(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        def test_fails(beam):
            beam("talker").eval('IO.puts("my last words")')
            beam("quiet", language="erlang")
            assert False

        def test_passes(beam):
            beam("talker").eval('IO.puts("nobody reads this")')
        """
    )
    result = run(pytester)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*output of talker@localhost, OTP *", "my last words"])
    result.stdout.fnmatch_lines(["*output of quiet@localhost, OTP *", "(nothing)"])
    result.stdout.no_fnmatch_line("*nobody reads this*")


@pytest.mark.beam
@pytest.mark.elixir
def test_how_much_of_the_output_is_in_the_report(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(
        """
        def test_fails(beam):
            beam().eval('for n <- 1..5, do: IO.puts("line #{n}")')
            assert False
        """
    )
    result = run(pytester, "--beam-output-lines", "2")
    result.stdout.fnmatch_lines(["line 4", "line 5"])
    result.stdout.no_fnmatch_line("line 3")
    monkeypatch.setenv("PYNODE_BEAM_OUTPUT_LINES", "1")
    result = run(pytester)
    result.stdout.fnmatch_lines(["line 5"])
    result.stdout.no_fnmatch_line("line 4")


@pytest.mark.beam
@pytest.mark.elixir
def test_how_long_a_node_may_take_to_start(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_fails(beam):\n    beam()\n")
    result = run(pytester, "--beam-timeout", "0.001")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*BeamTimeout: beam1@localhost: * not ready after 0.001 s*"])


@pytest.mark.beam
@pytest.mark.elixir
def test_a_node_that_died_at_the_start_is_in_the_report(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_fails(beam):\n    beam('not a name')\n")
    result = run(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*BeamFailed: not a name@localhost ended with status*"])
    result.stdout.fnmatch_lines(["*output of not a name@localhost*", "*nodistribution*"])


def test_skipped_with_the_reason_where_there_is_no_erlang(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(WITHOUT_ERLANG)
    pytester.makepyfile("def test_it(beam):\n    beam()\n")
    result = run(pytester, "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED * there is no er* on PATH"])


def test_required_means_failing(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(WITHOUT_ERLANG)
    pytester.makepyfile("def test_it(beam):\n    beam()\n")
    result = run(pytester, "--beam-required")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*BeamMissing: there is no er* on PATH"])


def test_a_missing_release_skips_too(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(beam):\n    beam()\n")
    result = run(pytester, "-rs", "--beam-release", "otp17")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["beam release: otp17", "SKIPPED * there is no release 'otp17'*"])


@pytest.mark.beam
@pytest.mark.elixir
def test_settings_of_the_ini_file(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nbeam_project = nowhere\nbeam_required = true\n")
    pytester.makepyfile("def test_it(beam):\n    beam()\n")
    result = run(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*no Mix project 'nowhere'*"])


def test_the_marker_selects(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_with(beam): ...\n\ndef test_without(): ...\n")
    result = run(pytester, "--strict-markers", "-m", "not beam")
    result.assert_outcomes(passed=1, deselected=1)


@pytest.mark.beam
@pytest.mark.elixir
def test_under_xdist(pytester: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("n", range(6))
        def test_it(beam, n):
            one, two = beam("one", project="elixir_side"), beam("two", language="erlang")
            assert one.eval("Node.connect(two)", two=two.name) is True
            assert one.eval("Node.list()") == [two.name]
        """
    )
    run(pytester, "-n", "2").assert_outcomes(passed=6)


@pytest.mark.beam
@pytest.mark.elixir
def test_no_async_plugin_is_needed(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import asyncio

        def test_sync(beam):
            node = beam()
            assert node.eval("1") == 1

            async def twice():
                return await node.aeval("1"), await node.arpc("erlang", "node")

            assert asyncio.run(twice()) == (1, node.name)
        """
    )
    run(pytester, "-p", "no:asyncio", "-p", "no:anyio").assert_outcomes(passed=1)


PYTHON_NODES = """
    import asyncio

    def test_two_nodes(py_node):
        async def meet():
            async with py_node() as one, py_node("two", hidden=True) as two:
                assert str(two.name) == "two@localhost"
                await two.connect(one.name)
                assert one.nodes("hidden") == [two.name]

        asyncio.run(meet())
"""


@pytest.mark.beam
@pytest.mark.elixir
def test_python_nodes_and_beams_meet(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import asyncio

        def test_mixed(beam, py_node):
            ex = beam()

            async def meet():
                async with py_node() as node:
                    await node.connect(ex.name)
                    assert await ex.aeval("Node.list()") == [node.name]

            asyncio.run(meet())
        """
    )
    run(pytester).assert_outcomes(passed=1)


def test_python_nodes_need_no_erlang(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(WITHOUT_ERLANG)
    pytester.makepyfile(PYTHON_NODES)
    run(pytester).assert_outcomes(passed=1)


def test_python_nodes_in_a_fault_network(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import asyncio
        import pytest
        from pynode.errors import ConnectError

        def test_cut(py_node, faults):
            async def meet():
                one, two = py_node(epmd=faults), py_node(epmd=faults)
                async with one, two:
                    await one.connect(two.name)
                    await asyncio.to_thread(faults.link(one, two).cut)
                    while one.nodes() or two.nodes():
                        await asyncio.sleep(0.01)
                    with pytest.raises(ConnectError):
                        await two.connect(one.name)
                    await asyncio.to_thread(faults.restore)
                    await two.connect(one.name)
                    assert one.nodes() == [two.name]

            asyncio.run(meet())
        """
    )
    run(pytester).assert_outcomes(passed=1)


def test_nothing_heavy_is_imported_at_the_start() -> None:
    # The package itself is replaced by an empty one: what `import pynode` costs is its own affair.
    program = (
        "import sys, types, importlib.util, pytest; "
        "empty = types.ModuleType('pynode'); "
        "empty.__path__ = importlib.util.find_spec('pynode').submodule_search_locations; "
        "sys.modules['pynode'] = empty; before = set(sys.modules); "
        "import pynode.testing.plugin; print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True
    )
    assert done.stdout.split() == ["pynode._lazy", "pynode.testing", "pynode.testing.plugin"]
