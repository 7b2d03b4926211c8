"""What a :class:`pynode.Node` has to do with spawning: the words, for which it is a base class."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

from pynode import process as processes
from pynode.process import elsewhere
from pynode.process.resolver import Exports, Resolver
from pynode.terms import Atom, ExportFun, Pid, Reference

if TYPE_CHECKING:
    from pynode.process.body import Body, CoroutineFunction
    from pynode.process.process import Process
    from pynode.process.runtime import Runtime

__all__ = ["SpawnWords"]

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


class SpawnWords:
    """``spawn`` and its siblings, ``expose`` and ``withdraw``."""

    _resolver: Resolver

    if TYPE_CHECKING:  # what the node has

        @property
        def runtime(self) -> Runtime: ...  # noqa: D102
        def actor(self) -> Process: ...  # noqa: D102
        def _act(self, method: Any, *args: Any, **kwargs: Any) -> Any: ...
        def monitor(self, target: Any, **options: Any) -> Reference: ...  # noqa: D102

    # ------------------------------------------------------------------ spawning

    @overload
    def spawn(self, body: CoroutineFunction | Body, /, *args: Any, **options: Any) -> Pid: ...
    @overload
    def spawn(self, node: Atom | str, fun: ExportFun, /) -> Coroutine[Any, Any, Pid]: ...
    @overload
    def spawn(
        self,
        node: Atom | str,
        module: Atom | str,
        function: Atom | str,
        args: Sequence[Any] = (),
        /,
    ) -> Coroutine[Any, Any, Pid]: ...
    def spawn(self, where: Any, /, *args: Any, **options: Any) -> Any:
        """Start a process: ``spawn(body, ...)`` here, ``await spawn(node, ...)`` elsewhere.

        ``spawn(body, *args, **options)`` starts ``async def body(process, *args)`` on this node
        and returns its pid at once; the options are those of :meth:`Runtime.spawn`.

        ``await spawn(node, module, function, args)`` has ``node``, which may be this one, run
        ``module:function(*args)`` and returns the pid (``spawn/4``); ``await spawn(node, fun)``
        runs an :class:`ExportFun` without arguments.  The group leader is that of the acting
        process, so what the new one prints comes out there.  Cancelled, the request is abandoned,
        but the process may run.

        As in Erlang a pid comes always: where the node cannot be reached it is the pid of a
        process of this node that ends with ``noconnection``, and a warning is logged.  A function
        that does not exist there ends the process with ``undef``.

        Raises:
            EncodeError: an argument is no term.
            PeerBusy: too much is waiting for that node.
            CallExit: the node makes no process; ``reason`` is ``system_limit``.
        """
        spawn_function = processes.spawn_function
        if not options and spawn_function is not None:
            pid = spawn_function(self.runtime, where, args)
            if pid is not None:
                return pid
        if elsewhere.is_node(where):
            return self._spawn_there(where, args, options)
        return self.runtime.spawn(where, *args, **options).pid

    @overload
    def spawn_link(self, body: CoroutineFunction | Body, /, *args: Any, **options: Any) -> Pid: ...
    @overload
    def spawn_link(self, node: Atom | str, fun: ExportFun, /) -> Coroutine[Any, Any, Pid]: ...
    @overload
    def spawn_link(
        self,
        node: Atom | str,
        module: Atom | str,
        function: Atom | str,
        args: Sequence[Any] = (),
        /,
    ) -> Coroutine[Any, Any, Pid]: ...
    def spawn_link(self, where: Any, /, *args: Any, **options: Any) -> Any:
        """Like :meth:`spawn`, linked to the acting process from the start (``spawn_link/4``)."""
        if elsewhere.is_node(where):
            return self._spawn_there(where, args, options, link=True)
        return self.runtime.spawn(where, *args, link_to=self.actor().pid, **options).pid

    @overload
    def spawn_monitor(
        self, body: CoroutineFunction | Body, /, *args: Any, **options: Any
    ) -> tuple[Pid, Reference]: ...
    @overload
    def spawn_monitor(
        self, node: Atom | str, fun: ExportFun, /
    ) -> Coroutine[Any, Any, tuple[Pid, Reference]]: ...
    @overload
    def spawn_monitor(
        self,
        node: Atom | str,
        module: Atom | str,
        function: Atom | str,
        args: Sequence[Any] = (),
        /,
    ) -> Coroutine[Any, Any, tuple[Pid, Reference]]: ...
    def spawn_monitor(self, where: Any, /, *args: Any, **options: Any) -> Any:
        """Like :meth:`spawn`, with a monitor from the start (``spawn_monitor/4``)."""
        if elsewhere.is_node(where):
            return self._monitor_there(where, args, options)
        pid = self.runtime.spawn(where, *args, **options).pid
        return pid, self.monitor(pid)

    async def _monitor_there(
        self, node: Atom | str, what: tuple[Any, ...], options: dict[str, Any]
    ) -> tuple[Pid, Reference | None]:
        _no_options(options)
        return await elsewhere.spawn_there(self.actor(), node, what, monitor=True)

    async def _spawn_there(
        self,
        node: Atom | str,
        what: tuple[Any, ...],
        options: dict[str, Any],
        *,
        link: bool = False,
    ) -> Pid:
        _no_options(options)
        pid, _ = await elsewhere.spawn_there(self.actor(), node, what, link=link)
        return pid

    @overload
    async def spawn_opt(
        self, node: Atom | str, fun: ExportFun, options: Sequence[Any], /
    ) -> Pid | tuple[Pid, Reference]: ...
    @overload
    async def spawn_opt(
        self,
        node: Atom | str,
        module: Atom | str,
        function: Atom | str,
        args: Sequence[Any],
        options: Sequence[Any],
        /,
    ) -> Pid | tuple[Pid, Reference]: ...
    async def spawn_opt(self, node: Atom | str, /, *what: Any) -> Pid | tuple[Pid, Reference]:
        """Spawn on ``node`` with options (``spawn_opt/5``).

        Returns a pid; with the option ``monitor`` a pid and a reference.
        Options are written as in Erlang, with a str for an atom: ``"link"``, ``"monitor"``,
        ``("monitor", [("tag", term), ("alias", "reply_demonitor")])``, ``("priority", "high")``,
        ``("min_heap_size", 4000)``...

        Raises:
            ValueError: ``badopt``: an option that is none.
            As :meth:`spawn`.
        """
        return await elsewhere.spawn_opt_there(self.actor(), node, what)

    @overload
    def spawn_request(
        self, node: Atom | str, fun: ExportFun, options: Sequence[Any] = (), /
    ) -> Reference: ...
    @overload
    def spawn_request(
        self,
        node: Atom | str,
        module: Atom | str,
        function: Atom | str,
        args: Sequence[Any] = (),
        options: Sequence[Any] = (),
        /,
    ) -> Reference: ...
    def spawn_request(self, node: Atom | str, /, *what: Any) -> Reference:
        """Ask ``node`` to spawn, and do not wait (``spawn_request/5``); return the request's id.

        The acting process gets ``{spawn_reply, ReqId, ok, Pid}`` or ``{spawn_reply, ReqId, error,
        Reason}``, before any signal of the new process.  With ``monitor`` the id is the reference
        of the monitor.  Options as in :meth:`spawn_opt`, and ``("reply_tag", term)``,
        ``("reply", "yes" | "no" | "error_only" | "success_only")``.

        Raises:
            EncodeError: an argument is no term.
            PeerBusy: too much is waiting for that node.
        """
        called, options = elsewhere.with_options(what)
        found: Reference = self._act(
            self.runtime.spawn_request, node, *elsewhere.called(called), options=options
        )
        return found

    def spawn_request_abandon(self, ref: Reference) -> bool:
        """Give up a spawn request; True if its answer had not come, and will not.

        A link that the other node makes ends the new process with ``abandoned``; without a link
        it goes on (``spawn_request_abandon/1``).
        """
        return bool(self._act(self.runtime.spawn_request_abandon, ref))

    # ------------------------------------------------------------------ what others may run

    @overload
    def expose(self, module: Exports, /) -> Exports: ...
    @overload
    def expose(
        self,
        module: Atom | str,
        /,
        *,
        name: Atom | str | None = None,
        arity: int | Iterable[int] | None = None,
        blocking: bool | None = None,
        text: bool = False,
    ) -> Callable[[F], F]: ...
    @overload
    def expose(
        self,
        module: Atom | str,
        target: T,
        /,
        *,
        name: Atom | str | None = None,
        arity: int | Iterable[int] | None = None,
        blocking: bool | None = None,
        text: bool = False,
    ) -> T: ...
    def expose(
        self,
        module: Any,
        target: Any = None,
        /,
        *,
        name: Atom | str | None = None,
        arity: int | Iterable[int] | None = None,
        blocking: bool | None = None,
        text: bool = False,
    ) -> Any:
        """Let other nodes run functions of this program, by spawn, ``rpc`` and ``erpc``.

        ``node.expose("hello", thing)`` makes the functions of ``thing`` those of the Erlang
        module ``hello``: of a Python module what its ``__all__`` names or what is defined in it,
        of an object its methods, of a dict its values: functions, or
        ``{"fun": function, "arity": 1, "blocking": False, "text": True}`` of which all but the
        function may be left out.  Names with a leading underscore are left
        out.  ``thing`` may be one function, too.  ``@node.expose("hello")`` does that as a
        decorator; ``node.expose(exports)`` takes an :class:`Exports`.  An Elixir module is
        ``elixir("Hello")``.  May be called before the node is started, and at any time; what had
        the same name and arity before is replaced.

        A function runs in a process of its own and acts as that process.  A coroutine function
        runs on the node's loop; a plain one in a thread, so that the node does not stall, unless
        ``blocking=False`` says that it is quick.  Its return ends the process with ``normal``,
        :class:`Exit` with its reason, any other exception with
        ``{{python_error, Class, Text}, Stack}``.  Everything that is not exposed is ``undef``, as
        is a call with another number of arguments than the signature takes.

        Args:
            module: the module's name, or an :class:`Exports`.
            target: what to expose; without it, a decorator is returned.
            name, arity: for one function; by default its own name, and what its signature takes.
            blocking: True: in a thread; False: on the loop.
            text: UTF-8 binaries in the arguments become str; else they are bytes.

        Returns:
            ``target`` itself, or the decorator.

        Raises:
            TypeError: there is nothing in ``target`` to expose.
            ValueError: a signature cannot be read, or demands arguments by keyword.
        """
        if isinstance(module, Exports):
            self._resolver.add_exports(module)
            return module

        def add(found: Any) -> Any:
            self._resolver.add(module, found, name=name, arity=arity, blocking=blocking, text=text)
            return found

        return add if target is None else add(target)

    def _expose_all(self, exposed: Mapping[Any, Any] | Iterable[Exports]) -> None:
        """The option ``expose`` of a node."""
        if isinstance(exposed, Mapping):
            for module, target in exposed.items():
                if not isinstance(module, str | Atom):
                    raise TypeError(f"expose: a module is a str or an Atom, not {module!r}")
                if target is None:
                    raise TypeError(f"expose: there is nothing to expose as {module!r}, but None")
                self.expose(module, target)
        else:
            for exports in exposed:
                if not isinstance(exports, Exports):
                    raise TypeError(f"expose: a list has Exports in it, not {exports!r}")
                self.expose(exports)

    def withdraw(self, module: Atom | str, name: Atom | str | None = None) -> None:
        """Take back what was exposed as ``module:name`` of every arity, or the whole module.

        Processes that run it go on.
        """
        self._resolver.withdraw(module, name)


def _no_options(options: dict[str, Any]) -> None:
    if options:
        raise TypeError(
            f"{', '.join(options)}: on another node options go to spawn_opt or spawn_request"
        )
