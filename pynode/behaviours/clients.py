"""The clients as namespaces that know who acts: ``node.gen_event``, ``pynode.gen_event``, ...

The functions of :mod:`gen <pynode.behaviours.gen>`, :mod:`event_client`, :mod:`agent` and
:mod:`sys` take the acting process first.  A namespace fills it in: a node's with the node's
actor, the package's with the current process.  What is not async may be called from the thread
of a blocking callback too, and is then done on the loop.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import update_wrapper
from threading import get_ident
from typing import TYPE_CHECKING, Any, Concatenate, Final, Generic, ParamSpec, TypeVar, overload

from pynode.behaviours import (
    agent as _agent,
    event_client,
    gen,
    partition_supervisor as _partitions,
    proc_lib as _proc_lib,
    requests,
    supervisor_client,
    sys as _sys,
    task as _task,
    task_supervisor as _tasks,
)
from pynode.process.current import process as _current

if TYPE_CHECKING:
    from pynode.process.process import Process

__all__ = [
    "AgentClient",
    "Gen",
    "GenEvent",
    "PartitionClient",
    "ProcLib",
    "Statem",
    "SupervisorClient",
    "Sys",
    "TaskClient",
    "TaskSupervisorClient",
    "abcast",
    "agent",
    "call",
    "cast",
    "gen_event",
    "gen_server",
    "gen_statem",
    "multi_call",
    "partition_supervisor",
    "proc_lib",
    "send_request",
    "stop",
    "supervisor",
    "sys_",
    "task_supervisor",
]

P = ParamSpec("P")
R = TypeVar("R")


class _Client:
    """What a namespace is made of: a function that says which process acts."""

    def __init__(self, actor: Callable[[], Process]) -> None:
        self._actor = actor


class _bound(Generic[P, R]):
    """A function of the acting process, as a method of a namespace."""

    def __init__(self, function: Callable[Concatenate[Process, P], R]) -> None:
        self._function = function
        self._waits = inspect.iscoroutinefunction(function)
        self.__doc__ = function.__doc__

    @overload
    def __get__(self, client: None, owner: Any) -> _bound[P, R]: ...
    @overload
    def __get__(self, client: _Client, owner: Any) -> Callable[P, R]: ...
    def __get__(self, client: _Client | None, owner: Any) -> Any:
        if client is None:
            return self
        function, waits = self._function, self._waits

        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            process = client._actor()
            runtime = process.runtime
            if waits or get_ident() == runtime.thread_id:
                return function(process, *args, **kwargs)
            done: R = runtime.call_threadsafe(process, function, process, *args, **kwargs)
            return done

        return update_wrapper(call, function)


class Gen(_Client):
    """gen_server's client; see :mod:`pynode.behaviours.gen`."""

    call = _bound(gen.call)
    cast = _bound(gen.cast)
    reply = _bound(gen.reply)
    multi_call = _bound(gen.multi_call)
    abcast = _bound(gen.abcast)
    send_request = _bound(requests.send_request)
    stop = _bound(gen.stop)


class Statem(_Client):
    """gen_statem's client; see :mod:`pynode.behaviours.gen`."""

    call = _bound(gen.statem_call)
    cast = _bound(gen.cast)
    reply = _bound(gen.reply)
    send_request = _bound(requests.send_request)
    stop = _bound(gen.stop)


class GenEvent(_Client):
    """GenEvent's and gen_event's client; see :mod:`pynode.behaviours.event_client`."""

    notify = _bound(event_client.notify)
    sync_notify = _bound(event_client.sync_notify)
    ack_notify = _bound(event_client.ack_notify)
    call = _bound(event_client.call_handler)
    which_handlers = _bound(event_client.which_handlers)
    add_handler = _bound(event_client.add_handler)
    add_mon_handler = _bound(event_client.add_mon_handler)
    add_sup_handler = _bound(event_client.add_sup_handler)
    delete_handler = _bound(event_client.delete_handler)
    remove_handler = _bound(event_client.delete_handler)
    swap_handler = _bound(event_client.swap_handler)
    swap_mon_handler = _bound(event_client.swap_mon_handler)
    swap_sup_handler = _bound(event_client.swap_sup_handler)
    stop = _bound(gen.stop)


class AgentClient(_Client):
    """Agent's client; see :mod:`pynode.behaviours.agent`."""

    get = _bound(_agent.get)
    update = _bound(_agent.update)
    get_and_update = _bound(_agent.get_and_update)
    cast = _bound(_agent.agent_cast)
    stop = _bound(gen.stop)


class SupervisorClient(_Client):
    """What to ask supervisors; see :mod:`pynode.behaviours.supervisor_client`."""

    start_child = _bound(supervisor_client.start_child)
    start_dynamic_child = _bound(supervisor_client.start_dynamic_child)
    start_child_with = _bound(supervisor_client.start_child_with)
    terminate_child = _bound(supervisor_client.terminate_child)
    restart_child = _bound(supervisor_client.restart_child)
    delete_child = _bound(supervisor_client.delete_child)
    which_children = _bound(supervisor_client.which_children)
    which_child = _bound(supervisor_client.which_child)
    count_children = _bound(supervisor_client.count_children)
    get_childspec = _bound(supervisor_client.get_childspec)
    stop = _bound(gen.stop)


class TaskClient(_Client):
    """Tasks of one's own; see :mod:`pynode.behaviours.task`."""

    async_ = _bound(_task.async_)
    async_stream = _bound(_task.async_stream)
    start = _bound(_task.start)
    start_link = _bound(_task.start_link)
    completed = _bound(_task.completed)


class TaskSupervisorClient(_Client):
    """Tasks of a supervisor; see :mod:`pynode.behaviours.task_supervisor`."""

    async_ = _bound(_tasks.async_)
    async_nolink = _bound(_tasks.async_nolink)
    async_stream = _bound(_tasks.async_stream)
    async_stream_nolink = _bound(_tasks.async_stream_nolink)
    start_child = _bound(_tasks.start_child)
    children = _bound(_tasks.children)
    terminate_child = _bound(supervisor_client.terminate_child)
    stop = _bound(gen.stop)


class PartitionClient(_Client):
    """How many partitions there are; see :mod:`pynode.behaviours.partition_supervisor`."""

    partitions = _bound(_partitions.partitions)
    resize = _bound(_partitions.resize)
    which_children = _bound(supervisor_client.which_children)
    count_children = _bound(supervisor_client.count_children)
    stop = _bound(gen.stop)


class ProcLib(_Client):
    """Processes that say when they have begun; see :mod:`pynode.behaviours.proc_lib`."""

    spawn = _bound(_proc_lib.spawn)
    start = _bound(_proc_lib.start)


class Sys(_Client):
    """sys's client; see :mod:`pynode.behaviours.sys`."""

    get_state = _bound(_sys.get_state)
    replace_state = _bound(_sys.replace_state)
    get_status = _bound(_sys.get_status)
    suspend = _bound(_sys.suspend)
    resume = _bound(_sys.resume)
    terminate = _bound(_sys.terminate)
    change_code = _bound(_sys.change_code)
    debug = _bound(_sys.debug)
    trace = _bound(_sys.trace)
    log = _bound(_sys.log)
    log_to_file = _bound(_sys.log_to_file)
    statistics = _bound(_sys.statistics)
    no_debug = _bound(_sys.no_debug)
    install = _bound(_sys.install)
    remove = _bound(_sys.remove)


#: As the current process; outside any process use a node's.
gen_server: Final = Gen(_current)
gen_statem: Final = Statem(_current)
gen_event: Final = GenEvent(_current)
agent: Final = AgentClient(_current)
supervisor: Final = SupervisorClient(_current)
task_supervisor: Final = TaskSupervisorClient(_current)
partition_supervisor: Final = PartitionClient(_current)
proc_lib: Final = ProcLib(_current)
sys_: Final = Sys(_current)
#: What every program with servers uses, by its bare name.
call: Final = gen_server.call
cast: Final = gen_server.cast
multi_call: Final = gen_server.multi_call
abcast: Final = gen_server.abcast
send_request: Final = gen_server.send_request
stop: Final = gen_server.stop
