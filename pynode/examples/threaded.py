"""A node for a program that has no event loop: a script, a notebook, a web application.

    $ iex --sname node1@localhost

    $ python -m pynode.examples.threaded
    nodes of node1@localhost: ['py@localhost']
    the node has ticked while this program computed 1000000

The node lives in a thread, with methods that block; it ticks and serves while the program
computes.
"""

from __future__ import annotations

import sys

from pynode import ConnectError, Node

NODE1 = "node1@localhost"


def main() -> None:
    """Ask Elixir something, and compute."""
    with Node.in_thread("py@localhost") as node:
        node.connect(NODE1)
        nodes = node.rpc.call(NODE1, "erlang", "nodes", [])
        print(f"nodes of {NODE1}: {[str(name) for name in nodes]}")
        result = sum(1 for _ in range(1_000_000))
        print("the node has ticked while this program computed", result)


if __name__ == "__main__":
    try:
        main()
    except ConnectError as error:
        sys.exit(str(error))
