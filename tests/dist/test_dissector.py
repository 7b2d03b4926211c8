"""A conversation with a BEAM, as an independent reader of the protocol sees it: tshark's erldp."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pynode import etf
from pynode.dist import control as c
from pynode.dist.flags import Flag
from pynode.terms import Reference, atom

from .real_node import DistBeam, Line, have_beam

pytestmark = [
    pytest.mark.beam,
    pytest.mark.skipif(not have_beam(), reason="no erl and epmd on this machine"),
    pytest.mark.skipif(shutil.which("tshark") is None, reason="no tshark on this machine"),
]

PORT = 40404


def split(log: list[tuple[bool, bytes]]) -> Iterator[tuple[bool, bytes]]:
    """Give each message of the handshake a segment of its own: the dissector asks for that."""
    left = {True: 2, False: 3}
    for outgoing, data in log:
        rest = data
        while left[outgoing] and rest:
            end = 2 + int.from_bytes(rest[:2], "big")
            yield outgoing, rest[:end]
            left[outgoing] -= 1
            rest = rest[end:]
        if rest:
            yield outgoing, rest


def pcap(log: list[tuple[bool, bytes]]) -> bytes:
    """Return the log as a capture of TCP segments between two addresses."""
    out = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 1 << 18, 101)]
    sequence = {True: 1, False: 1}
    for number, (outgoing, data) in enumerate(split(log)):
        for start in range(0, len(data), 30_000):
            part = data[start : start + 30_000]
            ports = (50505, PORT) if outgoing else (PORT, 50505)
            hosts = (b"\x0a\0\0\1", b"\x0a\0\0\2") if outgoing else (b"\x0a\0\0\2", b"\x0a\0\0\1")
            tcp = struct.pack(
                ">HHIIBBHHH",
                *ports, sequence[outgoing], sequence[not outgoing], 0x50, 0x18, 65535, 0, 0,
            )  # fmt: skip
            sequence[outgoing] += len(part)
            size = 20 + len(tcp) + len(part)
            ip = struct.pack(">BBHHHBBH", 0x45, 0, size, number & 0xFFFF, 0, 64, 6, 0)
            packet = ip + hosts[0] + hosts[1] + tcp + part
            out.append(struct.pack("<IIII", number, start, len(packet), len(packet)) + packet)
    return b"".join(out)


def tshark(file: Path, *arguments: str) -> list[str]:
    done = subprocess.run(
        ["tshark", "-r", str(file), "-d", f"tcp.port=={PORT},erldp", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize("without", [0, int(Flag.FRAGMENTS)])
def test_no_packet_is_malformed(tmp_path: Path, without: int) -> None:
    with DistBeam() as beam, Line.up(beam, "watched", without=without) as line:
        me = line.pid(1)
        pid = line.eval("spawn(fun L() -> receive X -> From ! {self(), X}, L() end end)")
        for size in (0, 100, 200_000):
            term = [atom.size, size, bytes(size)]
            line.send(me, c.SendSender(me, pid), term)
            answer = (pid, term)
            line.until(lambda _, t, answer=answer: bool(t == answer))  # type: ignore[misc]
        line.send(me, c.RegSend(me, atom.nobody), {atom.a: [1.5, "text"]})
        ref = Reference(me.node, me.creation, (1, 2, 3))
        line.send(me, c.Monitor(me, pid, ref))
        line.send(me, c.Link(me, pid))
        line.send(me, c.UnlinkId(1, me, pid))
        assert line.connection is not None
        line.write(line.connection.tick())
        request = c.SpawnRequest(ref, me, me, (atom.erlang, atom.self, 0), [])
        line.send(me, request, [])
        line.until(lambda m, _: isinstance(m, c.SpawnReply))
        line.send(me, c.Exit2(me, pid, atom.bye))
        line.until(lambda m, _: isinstance(m, c.MonitorExit))
        file = tmp_path / "capture.pcap"
        file.write_bytes(pcap(line.log))
    assert etf.IMPLEMENTATION
    assert tshark(file, "-Y", "_ws.malformed") == []
    seen = tshark(file, "-Y", "erldp", "-T", "fields", "-e", "_ws.col.Info")
    assert len(seen) > 20
    text = "\n".join(seen)
    for word in ("SEND_NAME", "SEND_STATUS", "SEND_CHALLENGE", "SEND_SENDER"):
        assert word in text, text
