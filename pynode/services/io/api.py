"""``node.io``: writing to and reading from devices, with the words of Elixir's IO and Erlang's io.

A device is a process that speaks the I/O protocol: the group leader of the process that acts, if
none is named; ``"user"``, this node's own terminal; ``"standard_error"``; a file that a BEAM has
opened; the leader of a process anywhere.

Source: "The Erlang I/O Protocol" (stdlib user's guide).
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any, Final

from pynode.services.service import acting
from pynode.terms import Atom
from pynode.terms.notation import format_elixir

from . import client
from .client import Device
from .stream import IoStream

if TYPE_CHECKING:
    from pynode.process.process import Process
    from pynode.process.runtime import Runtime

__all__ = ["Io", "only_one", "text_of_values"]

#: Those of running nodes, for what is written outside of processes.
_known: Final[weakref.WeakSet[Io]] = weakref.WeakSet()


class Io:
    """The namespace.

    Every method takes ``device``: a pid, a registered name, ``(name, node)``, or None, the group
    leader of the acting process: the current one, or ``node.main`` outside of any.  Those that are
    awaited return when the device has answered, however long that takes; for a deadline use
    :func:`asyncio.timeout`.  A cancelled read may still take its line from the input.

    Raises, in all of them:
        DeviceError: the device refused, with its ``reason``; or with ``terminated`` it does not
            exist, ended before it answered, or its node was lost.
        NameError_: a name that is not registered on this node.
        EncodeError: what is to be written is no text; nothing was sent.
    """

    def __init__(self, runtime: Runtime, *, public: bool = False) -> None:
        self.runtime = runtime
        if public:
            _known.add(self)

    def _actor(self) -> Process:
        return acting(self.runtime)

    # ------------------------------------------------------------------ output

    async def puts(self, *values: Any, device: Device = None) -> None:
        """Write ``values`` with blanks between them and a newline (``IO.puts/2``).

        A str is written as it is, a binary as UTF-8, an atom by its name, the rest as ``str()``
        has it.
        """
        await client.put_chars(self._actor(), device, text_of_values(values))

    async def write(self, *values: Any, device: Device = None) -> None:
        """Like :meth:`puts`, without the newline (``IO.write/2``)."""
        await client.put_chars(self._actor(), device, text_of_values(values, ""))

    async def put_chars(self, chars: Any, *, device: Device = None) -> None:
        """Write a str or chardata (``io:put_chars/2``)."""
        await client.put_chars(self._actor(), device, chars)

    async def nl(self, *, device: Device = None) -> None:
        """Write a newline (``io:nl/1``)."""
        await client.put_chars(self._actor(), device, "\n")

    async def format(
        self, control: str, args: Iterable[Any] = (), *, device: Device = None
    ) -> None:
        """Write by a control string of Erlang, ``~p`` and the like (``io:format/3``).

        Control string and arguments are sent as they are, the device makes the text of them.

        Raises:
            DeviceError: also where they do not fit each other; ``format``.
        """
        await client.format_chars(self._actor(), device, control, args)

    async def inspect(self, term: Any, *, label: str | None = None, device: Device = None) -> Any:
        """Write a term as Elixir writes it, and return it (``IO.inspect/3``)."""
        text = format_elixir(term)
        if label is not None:
            text = f"{label}: {text}"
        await client.put_chars(self._actor(), device, text + "\n")
        return term

    def stream(self, device: Device = None) -> IoStream:
        """Return ``device`` as a text file, for ``print(..., file=...)``; see :class:`IoStream`.

        With None each line goes to the group leader of the process that completes it.
        """
        return IoStream(self.send, device)

    def send(self, device: Device, text: str) -> None:
        """Have ``text`` written, without waiting; callable in any thread.

        Order and loss are those of signals: who is not there, or refuses, is not told.
        """
        process = self._actor()
        runtime = self.runtime
        if threading.get_ident() == runtime.thread_id:
            client.write(process, device, text)
        else:
            runtime.call_threadsafe(process, client.write, process, device, text)

    # ------------------------------------------------------------------ input

    async def gets(self, prompt: Any = "", *, device: Device = None) -> str | Atom:
        """Read a line with its newline (``IO.gets/2``); ``atom.eof`` at the end of the input."""
        return await client.get_line(self._actor(), device, prompt)

    get_line = gets

    async def getn(self, prompt: Any = "", count: int = 1, *, device: Device = None) -> str | Atom:
        """Read up to ``count`` characters (``IO.getn/3``); ``atom.eof`` at the end."""
        return await client.get_chars(self._actor(), device, prompt, count)

    get_chars = getn

    async def get_password(self, *, device: Device = None) -> str | Atom:
        """Read a line that is not shown, without its newline (``io:get_password/1``).

        Raises:
            DeviceError: also where the device is no terminal; ``enotsup``.
        """
        return await client.get_password(self._actor(), device)

    async def get_until(
        self,
        prompt: Any,
        module: Atom | str,
        function: Atom | str,
        args: Iterable[Any] = (),
        *,
        device: Device = None,
    ) -> Any:
        """Read until ``module:function``, applied by the device, has enough; its result.

        For functions that the device's node has, as a BEAM has ``io_lib:fread``.
        """
        return await client.get_until(self._actor(), device, prompt, module, function, args)

    async def lines(self, *, device: Device = None) -> AsyncIterator[str]:
        """Yield the lines of the input up to its end."""
        while isinstance(line := await self.gets(device=device), str):
            yield line

    # ------------------------------------------------------------------ options, any request

    async def getopts(self, *, device: Device = None) -> dict[str, Any]:
        """Return the device's options by name (``io:getopts/1``)."""
        return await client.getopts(self._actor(), device)

    async def setopts(self, *, device: Device = None, **options: Any) -> None:
        """Set options of the device, for all who use it: ``setopts(binary=False)``."""
        await client.setopts(self._actor(), device, options)

    async def columns(self, *, device: Device = None) -> int:
        """Return how many columns a terminal has (``io:columns/1``); else ``enotsup``."""
        return await client.get_geometry(self._actor(), device, "columns")

    async def rows(self, *, device: Device = None) -> int:
        """Return how many rows a terminal has (``io:rows/1``); else ``enotsup``."""
        return await client.get_geometry(self._actor(), device, "rows")

    async def request(self, what: Any, *, device: Device = None) -> Any:
        """Send any request of the protocol, and return its answer (``io:request/2``)."""
        return await client.request(self._actor(), device, what).wait()

    async def requests(self, batch: Iterable[Any], *, device: Device = None) -> Any:
        """Have several requests carried out in one go (``io:requests/2``)."""
        return await client.requests(self._actor(), device, batch)


def only_one() -> Io:
    """Return the namespace of the one node that runs in this program.

    Raises:
        RuntimeError: there is none, or there are several.
    """
    running = [found for found in _known if not found.runtime.stopped]
    if len(running) != 1:
        raise RuntimeError(
            f"no process runs here, and {len(running)} nodes; outside of processes use node.io"
        )
    return running[0]


def text_of_values(values: Iterable[Any], end: str = "\n") -> str:
    """Return what :meth:`Io.puts` writes."""
    return " ".join(map(_text, values)) + end


def _text(value: Any) -> str:
    if isinstance(value, Atom):
        return value.name
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", "replace")
    return str(value)
