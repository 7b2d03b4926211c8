"""What a forked child finds of its parent's node, and what the parent and its peers notice."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import textwrap
from typing import Any

import pytest

from pynode import Node

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

BEGINNING = """
    import asyncio, os, sys, time
    from pynode import GenServer, Node, NodeDown, call, receive, self_, send, wait

    port = int(sys.argv[1])
    options = {"cookie": "test", "epmd_port": port}

    class Echo(GenServer):
        def handle_call(self, request, caller): return request

    def refused(function, *args, **more):
        try:
            function(*args, **more)
        except NodeDown as error:
            return f"process {os.getppid()}" in str(error) and "spawn" in str(error)
        return False

    async def refused_async(function, *args, **more):
        try:
            await function(*args, **more)
        except NodeDown as error:
            return f"process {os.getppid()}" in str(error) and "spawn" in str(error)
        return False
"""


def run(program: str, *args: Any) -> list[str]:
    """Run a program, and return the lines that it and its children print."""
    text = textwrap.dedent(BEGINNING) + textwrap.dedent(program)
    port = str(_free_port())
    done = subprocess.run(
        [sys.executable, "-c", text, port, *map(str, args)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # Python 3.12 and later warn of every fork beside threads.
    errors = [line for line in done.stderr.splitlines() if "fork" not in line or "Error" in line]
    assert (done.returncode, errors) == (0, []), done.stderr
    return done.stdout.split("\n")[:-1]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def test_a_node_in_a_thread_is_refused_in_a_child_and_goes_on_in_the_parent() -> None:
    assert run("""
        with Node.in_thread("a@localhost", **options) as a:
            with Node.in_thread("b@localhost", **options) as b:
                a.connect("b@localhost")
                pid = b.start(Echo)
                assert a.call(pid, 1) == 1
                child = os.fork()
                if child == 0:
                    for each in (
                        refused(a.nodes), refused(a.call, pid, 2, timeout=2),
                        refused(a.send, pid, 1), refused(a.receive, timeout=1),
                        refused(lambda: a.name), refused(a.start_node),
                    ):
                        print("child", each, flush=True)
                    sys.exit(7)  # leaves both
                print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
                print(a.call(pid, 2), a.nodes(), b.nodes())
                b.connect("a@localhost")
                assert b.disconnect("a@localhost")
                a.connect("b@localhost")  # EPMD and the listeners still answer
                print(a.call(pid, 3))
    """) == [
        *["child True"] * 6,
        "7",
        "2 [atom('b@localhost')] [atom('a@localhost')]",
        "3",
    ]


def test_a_child_forked_on_the_loop_may_end_it_and_the_parent_goes_on() -> None:
    assert run("""
        async def main():
            async with Node("a@localhost", **options) as a, Node("b@localhost", **options) as b:
                await a.connect("b@localhost")
                pid = await b.start(Echo)
                assert await a.call(pid, 1) == 1
                child = os.fork()
                if child == 0:
                    asyncio._set_running_loop(loop)  # Python 3.12 and later have forgotten it
                    print(await refused_async(a.call, pid, 2), refused(a.nodes), flush=True)
                    print(await refused_async(a.connect, "b@localhost"), flush=True)
                    await asyncio.sleep(0.01)
                    await asyncio.to_thread(print, "the loop runs", flush=True)
                    raise SystemExit(7)
                status = await asyncio.to_thread(os.waitpid, child, 0)
                print(os.waitstatus_to_exitcode(status[1]))
                print(await a.call(pid, 2), a.nodes(), b.nodes())

        loop = asyncio.new_event_loop()
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(main())
    """) == [
        "True True",
        "True",
        "the loop runs",
        "7",
        "2 [atom('b@localhost')] [atom('a@localhost')]",
    ]


def test_a_child_forked_by_a_process_cannot_act_as_it() -> None:
    assert run("""
        class Forks(GenServer, blocking=True):
            def handle_call(self, request, caller):
                child = os.fork()
                if child == 0:
                    print(refused(send, self.pid, 1), refused(wait, None), flush=True)
                    print(refused(self.node.nodes), flush=True)
                    os._exit(7)
                return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

        async def forks(process):
            sender = await receive()
            child = os.fork()
            if child == 0:
                print(refused(send, sender, 1), await refused_async(receive), flush=True)
                print(await refused_async(call, sender, 1), flush=True)
                os._exit(7)
            send(sender, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

        async def main():
            async with Node("a@localhost", **options) as a:
                print(await a.call(await a.start(Forks), 1))
                a.send(a.spawn(forks), a.main.pid)
                print(await a.main.receive())

        asyncio.run(main())
    """) == ["True True", "True", "7", "True True", "True", "7"]


def test_a_child_has_a_node_of_its_own_and_forks_again() -> None:
    assert run("""
        with Node.in_thread("a@localhost", **options) as a:
            child = os.fork()
            if child == 0:
                with Node.in_thread("b@localhost", **options) as b:
                    b.connect("a@localhost")
                    grandchild = os.fork()
                    if grandchild == 0:
                        print(refused(b.nodes), flush=True)
                        os._exit(0)
                    os.waitpid(grandchild, 0)
                    print(b.nodes(), flush=True)
                os._exit(0)
            os.waitpid(child, 0)
            print(a.ping("a@localhost"))
    """) == ["True", "[atom('a@localhost')]", "True"]


async def test_a_living_child_keeps_no_connection_and_no_name_open() -> None:
    port = _free_port()
    program = textwrap.dedent(BEGINNING) + textwrap.dedent("""
        with Node.in_thread("a@localhost", **options) as a:
            a.connect("b@localhost")
            if os.fork() == 0:
                sys.stdin.read()  # until the test ends
                os._exit(0)
            print("forked", flush=True)
            time.sleep(60)
    """)
    async with Node("b@localhost", cookie="test", epmd_port=port) as b:
        b.monitor_nodes()
        running = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, str(port),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert running.stdin is not None
        assert running.stdout is not None
        try:
            assert str((await b.main.receive(timeout=30))[0]) == "nodeup"
            assert await asyncio.wait_for(running.stdout.readline(), 30) == b"forked\n"
            running.send_signal(signal.SIGKILL)
            down = await b.main.receive(timeout=20)  # ticks would take 45 s and more
            assert str(down[0]) == "nodedown"
            async with asyncio.timeout(20):
                while "a" in dict(await b.net_adm.names("localhost")):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        finally:
            running.stdin.close()
            await asyncio.wait_for(running.stdout.read(), 30)  # the child has ended too
            await running.wait()
