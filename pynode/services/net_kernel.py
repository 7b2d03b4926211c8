"""``net_kernel``: answers pings, and asks for them.

A ping is a gen call ``{is_auth, Node}`` that is answered ``yes`` by whoever it reaches, for what
comes through has been authenticated.  A BEAM that gets anything else disconnects.

Source: net_kernel.erl, net_adm.erl.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, ClassVar, Final

from pynode.behaviours import gen
from pynode.errors import CallExit, ConnectError, CookieError
from pynode.net.ticker import TickChange
from pynode.process.timeouts import check_timeout
from pynode.terms import Atom, atom

from .service import NO_ANSWER, Service

if TYPE_CHECKING:
    from pynode.config import NodeConfig
    from pynode.net.net import Net
    from pynode.process.runtime import Runtime

__all__ = ["NetKernel"]

_log = logging.getLogger("pynode.services")

_NAME: Final = atom.net_kernel
_ONGOING: Final = Atom(TickChange.ONGOING.value)


class NetKernel(Service):
    """The process ``net_kernel``."""

    name: ClassVar[str] = "net_kernel"

    def __init__(self, runtime: Runtime, net: Net, config: NodeConfig) -> None:
        self._net = net
        self._config = config
        super().__init__(runtime)

    def net_ticktime(self) -> int | tuple[Atom, int]:
        """``net_kernel:get_net_ticktime/0``: whole seconds, or what it is being changed to."""
        ticker = self._net.ticker
        seconds = max(1, round(ticker.seconds))
        return (_ONGOING, seconds) if ticker.changing else seconds

    def set_net_ticktime(
        self, seconds: float, transition: float = 60.0
    ) -> Atom | tuple[Atom, float]:
        """Change the tick time; see :meth:`pynode.Node.set_net_ticktime`."""
        change = self._net.set_net_ticktime(seconds, transition)
        if change is TickChange.ONGOING:
            return _ONGOING, self._net.ticker.seconds
        return Atom(change.value)

    def call(self, caller: tuple[Any, Any], request: Any) -> Any:
        """``{is_auth, Node}`` and the questions that only look."""
        match request:
            case (tag, _) if tag == atom.is_auth:
                return atom.yes
            case atom.ticktime:
                return self.net_ticktime()
            case atom.longnames:
                return self._config.long_names
            case atom.nodename:
                return self.runtime.node_name
        return NO_ANSWER

    async def ping(self, node: Atom | str, *, timeout: float | None = None) -> bool:
        """Connect to ``node`` if need be and ask it; True if it says yes (``net_adm:ping/1``).

        A node that says anything else is disconnected, as OTP does.  ``timeout`` is in seconds;
        None waits as long as connecting and ticks allow.
        """
        check_timeout(timeout)
        name = Atom(node) if isinstance(node, str) else node
        if name == self.runtime.node_name:
            return True
        try:
            await self._net.connect(name)
            # Now: it may be this connection that gives this node its name.
            request = (atom.is_auth, self.runtime.node_name)
            answer = await gen.call(self.runtime.main, (_NAME, name), request, timeout)
        except (ConnectError, CallExit) as error:
            # False says as much of a node that is not there as of one with another cookie.
            level = logging.WARNING if isinstance(error, CookieError) else logging.DEBUG
            _log.log(level, "no answer to a ping: %s", error)
            return False
        if answer != atom.yes:
            self._net.disconnect(name)
            return False
        return True
