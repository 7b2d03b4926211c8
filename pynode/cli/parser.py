"""The command line: one table of commands, each with the options it takes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, NoReturn

from pynode import __version__
from pynode.config import full_name
from pynode.errors import ConfigError

__all__ = ["COMMANDS", "Options", "parse"]


@dataclass
class Options:
    """What the command line says; each command reads the fields that its options fill."""

    command: str = ""
    name: str | None = None
    """``py`` or ``py@host``; None: one is made up."""
    cookie: str | None = None
    cookie_file: str | None = None
    connect: list[str] = field(default_factory=list)
    """Full names, in the order given."""
    manager: str = "manager"
    as_name: str | None = None
    hidden: bool = False
    shell: bool = False
    message: str = ""
    node: str = ""
    host: str = "localhost"


class _Parser(argparse.ArgumentParser):
    """Reports a usage error in one line."""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message} (see {self.prog} --help)", file=sys.stderr)
        sys.exit(2)


class _Command(NamedTuple):
    summary: str
    description: str
    options: Sequence[Callable[[argparse.ArgumentParser], Any]]
    check: Callable[[Options], str | None] | None = None
    """Returns what is wrong with options that are fine one by one."""


def parse(arguments: Sequence[str]) -> Options:
    """Return the options of a command line.

    Raises:
        SystemExit: after ``--help`` and ``--version`` (code 0), and after a usage error, which
            is one line on stderr (code 2).
    """
    parsers = _parsers()
    options, unknown = parsers[""].parse_known_args(arguments, namespace=Options())
    if unknown:  # argparse itself would name the whole command, whose --help has none of them
        parsers[options.command].error(f"unrecognized arguments: {' '.join(unknown)}")
    check = COMMANDS[options.command].check
    problem = check(options) if check is not None else None
    if problem is not None:
        parsers[options.command].error(problem)
    return options


def _parsers() -> dict[str, _Parser]:
    """Return the parser of each command by its name, and the whole one as ``""``."""
    whole = _Parser(
        prog="pynode",
        description="Join an Erlang/Elixir cluster from the command line.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    whole.add_argument(
        "--version",
        action="version",
        version=f"pynode {__version__}, Python {sys.version.split()[0]}",
        help="print the version and exit",
    )
    subparsers = whole.add_subparsers(dest="command", metavar="COMMAND", required=True)
    parsers = {"": whole}
    for name, command in COMMANDS.items():
        parsers[name] = subparsers.add_parser(
            name,
            help=command.summary,
            description=command.description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        for add in command.options:
            add(parsers[name])
    return parsers


# --------------------------------------------------------------------------- options


def _node_name(text: str) -> str:
    try:
        return full_name(text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _own_name(text: str) -> str:
    _node_name(text)  # for its errors; the host is chosen later, to suit the peers
    return text


def _name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--name",
        type=_own_name,
        metavar="NAME",
        help="this node's name, 'py' or 'py@host'; a host with a dot in it is a long name, as of "
        "erl -name (default: a made-up one)",
    )


def _cookie(parser: argparse.ArgumentParser) -> None:
    either = parser.add_mutually_exclusive_group()
    either.add_argument(
        "--cookie",
        metavar="COOKIE",
        help="the cluster's cookie; other users of this machine can see it in the list of "
        "processes, so better use one of the following",
    )
    either.add_argument(
        "--cookie-file",
        metavar="FILE",
        help="a file with the cookie, which only its owner may read (default: the environment "
        "variable PYNODE_COOKIE, else ~/.erlang.cookie)",
    )


def _connect(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--connect",
        type=_node_name,
        action="append",
        default=[],
        metavar="NODE",
        help="connect to this node; may be given more than once, and one that answers is enough",
    )


def _manager(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--manager",
        default=Options.manager,
        metavar="NAME",
        help="the publisher's name in :global, a charlist there (default: %(default)s)",
    )


def _as(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--as",
        dest="as_name",
        metavar="NAME",
        help="the name to subscribe as, a charlist there (default: subs_ and the node's name up "
        "to the @)",
    )


def _hidden(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--hidden",
        action="store_true",
        help="join as a hidden node: not in nodes(), and connected to no more than it asks for",
    )


def _shell(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--shell",
        action="store_true",
        help="answer 'iex --remsh' and 'erl -remsh' with a Python prompt: whoever has the cookie "
        "may then run any Python here",
    )


def _message(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("message", metavar="MESSAGE", help="the text; a UTF-8 binary over there")


def _node(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("node", type=_node_name, metavar="NODE", help="'node1' or 'node1@host'")


def _host(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("host", nargs="?", default=Options.host, metavar="HOST")


def _has_peer(options: Options) -> str | None:
    return None if options.connect else "--connect NODE is needed: a node of the cluster to join"


def _hidden_has_peer(options: Options) -> str | None:
    if options.hidden and not options.connect:
        return "--hidden needs --connect NODE: a hidden node registers through a node it names"
    return None


# --------------------------------------------------------------------------- commands

COMMANDS: Final[dict[str, _Command]] = {
    "publisher": _Command(
        "run a Publisher, registered in :global",
        """\
Start a Publisher, register it in :global, and serve it until Ctrl-C or SIGTERM.

The first line on stdout is 'ready NODE PID'.""",
        (_name, _cookie, _connect, _manager, _hidden, _shell),
        _hidden_has_peer,
    ),
    "subscriber": _Command(
        "run a Subscriber and print what it receives",
        """\
Start a Subscriber, subscribe it to the publisher, and print what it receives, until Ctrl-C or
SIGTERM.

The first line on stdout is 'ready NODE PID', printed when the publisher knows the subscriber.
Without a publisher of that name the command fails. When the publisher goes later, the command
says so on stderr, waits for a new one of that name, and subscribes again.""",
        (_name, _cookie, _connect, _manager, _as, _hidden, _shell),
        _has_peer,
    ),
    "publish": _Command(
        "have the publisher pass MESSAGE on to its subscribers",
        """\
Send MESSAGE to the publisher, as a hidden node, and return when the publisher's node has read
it.""",
        (_message, _name, _cookie, _connect, _manager),
        _has_peer,
    ),
    "ping": _Command(
        "tell whether NODE can be reached: pong or pang",
        """\
Print pong and return 0 if NODE answers; else print pang, and the cause on stderr, and return 1.
Asks as a hidden node.""",
        (_node, _name, _cookie),
    ),
    "names": _Command(
        "list the nodes that EPMD on HOST knows",
        """\
Print a line 'name port' for each node that EPMD on HOST (this machine, if not given) knows.""",
        (_host,),
    ),
}

_EPILOG: Final = """\
exit codes:
  0 success, 1 failure, 2 usage error, 130 after Ctrl-C, 143 after SIGTERM

environment:
  PYNODE_COOKIE                      the cookie
  ERL_EPMD_PORT, ERL_EPMD_ADDRESS    EPMD's port and address, as for Erlang

example, with a publisher running on node1:
  pynode subscriber --name py --cookie-file secret --connect node1@myhost
  pynode publish "Hello !!" --cookie-file secret --connect node1@myhost
"""
