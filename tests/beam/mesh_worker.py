"""Several Python nodes in one process, for :mod:`test_mesh`.

``python mesh_worker.py EPMD_PORT SEED NAME...``, the cookie in PYNODE_COOKIE.  All nodes start and
connect to SEED at once; each registers a global name and joins a group of pg.  Then each line of
standard input is answered by one line: what every node sees, as an encoded term in base64.
"""

from __future__ import annotations

import asyncio
import base64
import sys
from typing import Any

from pynode import Node, Pid, Process, atom, etf
from pynode.terms.order import sort_key

GROUP = atom.everybody


async def wait(process: Process) -> None:
    async for _ in process:
        pass


async def join(node: Node, seed: str) -> None:
    """Become part of the mesh."""
    pid = node.spawn(wait)
    node.pg.join(GROUP, pid)
    await node.connect(seed)
    registered = await node.global_.register_name((atom.node, node.name), pid)
    assert registered, f"{node.name}: its name is taken"


async def view(node: Node) -> Any:
    """Return ``{Node, Nodes, [{Name, Pid}], Members}``, each sorted in Erlang's order."""
    names = sorted(node.global_.registered_names(), key=sort_key)
    table: list[tuple[Any, Pid | None]] = []
    for name in names:
        pid = await node.global_.whereis_name(name)
        table.append((name, atom.undefined if pid is None else pid))  # type: ignore[arg-type]
    nodes = sorted(node.nodes(), key=sort_key)
    return (node.name, nodes, table, sorted(node.pg.get_members(GROUP), key=sort_key))


async def main(epmd_port: int, seed: str, names: list[str]) -> None:
    nodes = [Node(name, epmd_port=epmd_port) for name in names]
    try:
        await asyncio.gather(*(node.__aenter__() for node in nodes))
        await asyncio.gather(*(join(node, seed) for node in nodes))
        print("joined", flush=True)
        loop = asyncio.get_running_loop()
        while await loop.run_in_executor(None, sys.stdin.readline):
            views = [await view(node) for node in nodes]
            print(base64.b64encode(etf.encode(views)).decode(), flush=True)
    finally:
        await asyncio.gather(*(node.stop() for node in nodes))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3:]))
