"""The flags we send, beside those of each release that is here: its header, and its emulator."""

from __future__ import annotations

import ast
import os
import re
import subprocess
from pathlib import Path

import pytest

from pynode.dist.flags import (
    FLAG_NAMES,
    MANDATORY_25,
    MANDATORY_26,
    OUR_FLAGS,
    Flag,
    flag_names,
    offered,
)
from pynode.testing import BeamMissing, Release

ROOT = Path(__file__).parents[2]
RELEASES = ("host", "trixie", "forky", "otp28")

#: Since which release there is a flag; the others are older than 25.
SINCE = {Flag.LOCAL_EXT: 28, Flag.ALTACT_SIG: 28, Flag.NATIVE_RECORDS: 29}
#: In the header, and no capability.
NO_FLAGS = {"RESERVED"}


@pytest.fixture(params=RELEASES)
def release(request: pytest.FixtureRequest) -> Release:
    try:
        return Release.find(request.param, near=ROOT)
    except BeamMissing as error:
        pytest.skip(str(error))


def number_of(header: Path) -> int:
    """Return the release that a header in ``lib/kernel-Vsn/include`` belongs to."""
    releases = header.parents[3] / "releases"
    return max(int(folder.name) for folder in releases.iterdir() if folder.name.isdigit())


def header_of(release: Release) -> Path:
    root = Path("/usr") if release.root is None else release.root / "usr"
    found = sorted(root.glob("lib/erlang/lib/kernel-*/include/dist.hrl"))
    if not found:
        pytest.skip(f"the release {release.name} has no headers (Debian: erlang-dev)")
    return found[-1]


def defined(text: str) -> tuple[dict[str, int], dict[str, int]]:
    """Return the flags that a header defines, and its sets of flags."""
    flags: dict[str, int] = {}
    for name, value in re.findall(r"^-define\(DFLAG_(\w+),\s*(.*)\)\.", text, re.MULTILINE):
        digits = re.fullmatch(r"\(?16#(\w+)(?: bsl (\d+)\))?", value)
        assert digits, (name, value)
        flags[name] = int(digits[1], 16) << int(digits[2] or 0)
    sets = {}
    for name, value in re.findall(
        r"^-define\((MANDATORY_DFLAGS_\d+),\s*(\(.*?\))\)\.", text, re.S | re.M
    ):
        sets[name] = sum(flags[flag] for flag in re.findall(r"\?DFLAG_(\w+)", value))
    return flags, sets


def test_the_header_of_each_release(release: Release) -> None:
    header = header_of(release)
    flags, sets = defined(header.read_text(encoding="latin-1"))
    theirs = {name: value for name, value in flags.items() if name not in NO_FLAGS}
    number = number_of(header)
    # By name and by bit, both ways: a flag that a new release adds is to be thought about.
    assert theirs == {
        name: flag for flag, name in FLAG_NAMES.items() if SINCE.get(flag, 25) <= number
    }
    assert sets["MANDATORY_DFLAGS_25"] == MANDATORY_25
    assert sets.get("MANDATORY_DFLAGS_26", 0) in (0, MANDATORY_26 & ~MANDATORY_25)


@pytest.mark.beam
def test_the_emulator_of_each_release(release: Release) -> None:
    """What we send is what the newest one sends by default, and what any of them knows it sends."""
    if not release.has("erl"):
        pytest.skip(f"there is no erl in the release {release.name}")
    code = (
        "{erts_dflags, Default, Mandatory, _, Rejectable, _} = erts_internal:get_dflags(),"
        'io:format("~w ~w ~w ~s", [Default, Mandatory, Rejectable,'
        " erlang:system_info(otp_release)]), halt()."
    )
    done = subprocess.run(
        release.command("erl", "-noinput", "-boot", "start_clean", "-eval", code),
        env=dict(os.environ, HOME="/tmp", ERL_CRASH_DUMP_SECONDS="0"),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    default, mandatory, rejectable, number = map(int, done.stdout.split())
    newer = sum(flag for flag, since in SINCE.items() if since > number)
    assert flag_names(OUR_FLAGS & ~newer) == flag_names(default)
    assert flag_names(mandatory & ~OUR_FLAGS) == ""
    assert mandatory == (MANDATORY_25 if number < 26 else MANDATORY_26)
    # Those that can be left out here can be left out there.
    without = offered(hidden=True, without=Flag.DIST_HDR_ATOM_CACHE | Flag.FRAGMENTS)
    assert (OUR_FLAGS & ~without) & ~rejectable == 0


# --------------------------------------------------------------------------- nothing is only said

#: For each flag that we offer, tests that fail where it is not done.
LITERAL = "etf/test_literal_bytes.py"
AMONG_BEAMS = "dist/test_beam.py"
DIFFERENCES = "beam/test_release_differences.py"
SHOWN: dict[int, tuple[str, ...]] = {
    Flag.PUBLISHED: (f"{AMONG_BEAMS}::test_dialled", f"{AMONG_BEAMS}::test_accepted"),
    Flag.EXTENDED_REFERENCES: (
        f"{DIFFERENCES}::test_references_of_three_and_of_five_words",
        f"{LITERAL}::test_written_and_read",
    ),
    Flag.DIST_MONITOR: ("semantics/test_monitor.py", f"{AMONG_BEAMS}::test_what_a_beam_sends"),
    Flag.FUN_TAGS: ("etf/test_against_beam.py::test_the_beams_own_terms",),
    Flag.DIST_MONITOR_NAME: ("semantics/test_monitor.py", f"{AMONG_BEAMS}::test_what_a_beam_sends"),
    Flag.NEW_FUN_TAGS: ("etf/test_against_beam.py::test_the_beams_own_terms",),
    Flag.EXTENDED_PIDS_PORTS: (f"{LITERAL}::test_written_and_read",),
    Flag.EXPORT_PTR_TAG: (f"{LITERAL}::test_written_and_read",),
    Flag.BIT_BINARIES: (f"{LITERAL}::test_written_and_read",),
    Flag.NEW_FLOATS: (f"{LITERAL}::test_written_and_read",),
    Flag.UNICODE_IO: (
        "semantics/test_io.py::test_chars_are_written_in_order",
        "beam/test_io.py::test_elixir_with_our_leader",
    ),
    Flag.DIST_HDR_ATOM_CACHE: (
        "dist/test_atom_cache.py",
        f"{AMONG_BEAMS}::test_more_atoms_than_slots",
    ),
    Flag.SMALL_ATOM_TAGS: (f"{LITERAL}::test_read",),
    Flag.UTF8_ATOMS: (f"{LITERAL}::test_written_and_read",),
    Flag.MAP_TAG: (f"{LITERAL}::test_written_and_read",),
    Flag.BIG_CREATION: (f"{LITERAL}::test_written_and_read",),
    Flag.SEND_SENDER: ("dist/test_control.py::test_plain_forms", "semantics/test_order.py"),
    Flag.BIG_SEQTRACE_LABELS: ("dist/test_control.py::test_plain_forms",),
    Flag.EXIT_PAYLOAD: ("dist/test_control.py::test_reasons_inside", "semantics/test_exit.py"),
    Flag.FRAGMENTS: ("dist/test_fragments_outbox.py", f"{AMONG_BEAMS}::test_large_messages_in"),
    Flag.HANDSHAKE_23: ("dist/test_handshake.py::test_the_bytes_are_those_of_the_specification",),
    Flag.UNLINK_ID: ("semantics/test_link.py", f"{AMONG_BEAMS}::test_what_a_beam_understands"),
    Flag.MANDATORY_25_DIGEST: (f"{AMONG_BEAMS}::test_the_digest_flag_alone_is_enough",),
    Flag.SPAWN: ("semantics/test_spawn.py", "process/test_spawn.py"),
    Flag.V4_NC: (f"{LITERAL}::test_written_and_read",),
    Flag.ALIAS: ("semantics/test_alias.py", f"{AMONG_BEAMS}::test_what_a_beam_sends"),
    Flag.ALTACT_SIG: (
        f"{DIFFERENCES}::test_priority_messages_from_a_beam",
        f"{DIFFERENCES}::test_priority_messages_to_a_beam",
    ),
    Flag.NATIVE_RECORDS: (
        f"{DIFFERENCES}::test_native_records_go_where_they_are_agreed",
        f"{DIFFERENCES}::test_native_records_are_read_whatever_was_agreed",
    ),
}


def test_what_is_offered_is_done() -> None:
    ours = offered(hidden=False)
    assert flag_names(sum(SHOWN)) == flag_names(ours)
    for flag, tests in SHOWN.items():
        assert tests, flag
        for test in tests:
            file, _, name = test.partition("::")
            tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
            functions = {
                node.name
                for node in tree.body
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                and node.name.startswith("test_")
            }
            assert functions, test
            assert not name or name in functions, test
