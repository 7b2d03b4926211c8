"""The same server in Erlang and in Python, of each behaviour, and what `sys` is asked about it."""

from __future__ import annotations

from typing import Any

from pynode import GenEventHandler, GenServer, GenStatem, atom, self_, send, statem
from pynode.behaviours import gen

__all__ = ["MODULES", "Handler", "Machine", "Server", "expose"]

_SERVER = """
-module('Server').
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, code_change/3]).
init(_) -> {ok, #{count => 1}}.
handle_call(N, _, #{count := C}) -> {reply, C, #{count => C + N}}.
handle_cast({continue, N}, S) -> {noreply, S, {continue, N}};
handle_cast(N, #{count := C}) -> {noreply, #{count => C + N}}.
handle_info(N, #{count := C}) -> {noreply, #{count => C + N}}.
code_change(_, _, Extra) -> {ok, #{count => Extra}}.
"""
_MACHINE = """
-module('Machine').
-export([init/1, callback_mode/0, handle_event/4, code_change/4]).
callback_mode() -> handle_event_function.
init(_) -> {ok, on, #{count => 1}}.
handle_event({call, F}, N, _, #{count := C}) -> {keep_state, #{count => C + N}, {reply, F, C}};
handle_event(_, N, S, #{count := C}) when S =:= on ->
    {next_state, off, #{count => C + N}, {state_timeout, 60000, long}};
handle_event(_, _, _, _) -> {keep_state_and_data, postpone}.
code_change(_, S, _, Extra) -> {ok, S, #{count => Extra}}.
"""
_HANDLER = """
-module('Handler').
-export([init/1, handle_event/2, handle_call/2, handle_info/2, code_change/3]).
init(_) -> {ok, #{count => 1}}.
handle_call(N, #{count := C}) -> {ok, C, #{count => C + N}}.
handle_event(N, #{count := C}) -> {ok, #{count => C + N}}.
handle_info(N, #{count := C}) -> {ok, #{count => C + N}}.
code_change(_, _, Extra) -> {ok, #{count => Extra}}.
"""
_FUNCTIONS = """
-module(sys_functions).
-export([bump/1, fail/1, watch/3]).
bump(#{count := N}) -> #{count => N + 100};
bump({S, #{count := N}}) -> {S, #{count => N + 100}};
bump({M, I, #{count := N}}) -> {M, I, #{count => N + 100}}.
fail(_) -> error(failed).
watch(State, Event, Name) ->
    watcher ! {watched, State, element(1, Event), Name},
    case State of 2 -> done; _ -> State + 1 end.
"""
#: Starts the Erlang twins, and asks a server all that there is to ask.
_PROBE = """
-module(sys_probe).
-export([start/1, probe/2]).
start(server) -> {ok, P} = gen_server:start({local, server}, 'Server', x, []), P;
start(machine) -> {ok, P} = gen_statem:start({local, machine}, 'Machine', x, []), P;
start(handler) ->
    {ok, P} = gen_event:start({local, handler}),
    ok = gen_event:add_handler(P, 'Handler', x), P.
probe(Pid, Kind) ->
    register(watcher, self()),
    Call = fun() -> call(Kind, Pid) end,
    Cast = fun(N) -> cast(Kind, Pid, N) end,
    Answers = [
        {state, sys:get_state(Pid)},
        {status, status(Pid)},
        {code_running, sys:change_code(Pid, 'Handler', undefined, 50)},
        {suspend, sys:suspend(Pid)},
        {suspended, status(Pid)},
        {code, sys:change_code(Pid, 'Handler', undefined, 50)},
        {state, sys:get_state(Pid)},
        {resume, sys:resume(Pid)},
        {none, sys:statistics(Pid, get)},
        {statistics, sys:statistics(Pid, true)},
        {log, sys:log(Pid, {true, 6})},
        {called, Call()},
        Cast(2),
        {state, sys:get_state(Pid)},
        {counted, counts(Pid)},
        {logged, plain(sys:log(Pid, get))},
        {debug, [element(1, O) || O <- debug(Pid)]},
        {status, status(Pid)},
        {no_debug, sys:no_debug(Pid)},
        {nothing, sys:log(Pid, get)},
        {replaced, sys:replace_state(Pid, fun sys_functions:bump/1)},
        {failed, failed(fun() -> sys:replace_state(Pid, fun sys_functions:fail/1) end)},
        {install, sys:install(Pid, {fun sys_functions:watch/3, 1})},
        {again, sys:install(Pid, {fun sys_functions:watch/3, 0})},
        {called, Call()},
        {watched, watched()},
        {install, sys:install(Pid, {id, fun sys_functions:watch/3, -9})},
        {remove, sys:remove(Pid, id)},
        {called, Call()},
        {watched, watched()},
        {rubbish, [catch gen:call(Pid, system, R) || R <- [dance, {debug, dance}, {log, 1}]]},
        {trace, traced(Pid, fun() -> Call(), Cast(3), Call() end)}
    ],
    unregister(watcher),
    Ref = monitor(process, Pid),
    ok = sys:terminate(Pid, {shutdown, over}),
    End = receive {'DOWN', Ref, _, _, Why} -> Why end,
    Answers ++ [{ended, End}].
call(handler, Pid) -> gen_event:call(Pid, 'Handler', 1);
call(_, Pid) -> gen_server:call(Pid, 1).
cast(handler, Pid, N) -> gen_event:notify(Pid, N);
cast(_, Pid, N) -> gen_server:cast(Pid, N).
status(Pid) ->
    {status, Pid, Module, [PDict, Sys, Parent, _, Misc]} = sys:get_status(Pid),
    Initial = lists:keymember('$initial_call', 1, PDict),
    {Module, Initial, is_list(proplists:get_value('$ancestors', PDict)), Sys, Parent =:= Pid,
     [misc(M) || M <- Misc]}.
misc({data, Data}) -> {data, [misc(D) || D <- Data]};
misc({"Parent", P}) -> {"Parent", is_pid(P)};
misc({Name, Log}) when Name =:= "Logged events"; Name =:= "Logged Events" ->
    {Name, element(2, plain({ok, Log}))};
misc(Other) -> Other.
debug(Pid) ->
    {status, _, _, [_, _, _, Debug, _]} = sys:get_status(Pid),
    lists:sort(Debug).
counts(Pid) ->
    {ok, [{start_time, {{_, _, _}, {_, _, _}}}, {current_time, _}, {reductions, R} | Counts]} =
        sys:statistics(Pid, get),
    true = is_integer(R),
    Counts.
plain({ok, Events}) -> {ok, [plain_event(E) || E <- Events]}.
plain_event({out, R, _, S}) -> {out, R, S};
plain_event({out, R, _}) -> {out, R};
plain_event(Event) -> setelement(2, Event, plain_in(element(2, Event))).
plain_in({'$gen_call', _, R}) -> {call, R};
plain_in({{call, _}, R}) -> {call, R};
plain_in({P, _, R}) when is_pid(P) -> {caller, R};
plain_in(Other) -> Other.
failed(Fun) -> try Fun() catch error:{callback_failed, Where, _} -> {callback_failed, Where} end.
watched() -> receive {watched, S, E, N} -> [{S, E, N} | watched()] after 0 -> [] end.
traced(Pid, Fun) ->
    Self = self(),
    Leader = spawn_link(fun() -> leader(Self) end),
    group_leader(Leader, Pid),
    ok = sys:trace(Pid, true),
    Fun(),
    ok = sys:trace(Pid, false),
    Leader ! {stop, Self},
    receive {lines, Lines} -> unicode:characters_to_binary(Lines) end.
leader(To) -> leader(To, []).
leader(To, Lines) ->
    receive
        {io_request, From, Ref, {put_chars, unicode, Chars}} ->
            From ! {io_reply, Ref, ok}, leader(To, [Lines, Chars]);
        {io_request, From, Ref, {put_chars, unicode, M, F, A}} ->
            From ! {io_reply, Ref, ok}, leader(To, [Lines, apply(M, F, A)]);
        {stop, To} ->
            To ! {lines, Lines}
    end.
"""
MODULES = (_SERVER, _MACHINE, _HANDLER, _FUNCTIONS, _PROBE)


class Server(GenServer):
    def init(self) -> None:
        self.count = 1

    def handle_call(self, request: int, caller: gen.Caller) -> int:
        self.count += request
        return self.count - request

    def handle_cast(self, request: int) -> None:
        self.count += request

    def handle_info(self, message: int) -> None:
        self.count += message

    def code_change(self, old_version: Any, extra: Any) -> None:
        self.count = extra


class Machine(GenStatem):
    def init(self) -> Any:
        self.count = 1
        return atom.on

    def handle_event(self, event: Any, content: Any, state: Any) -> Any:
        if isinstance(event, tuple):
            self.count += content
            return statem.KeepState(statem.Reply(event[1], self.count - content))
        if state == atom.on:
            self.count += content
            return statem.NextState(atom.off, statem.StateTimeout(60.0, atom.long))
        return statem.KeepState(statem.Postpone())

    def code_change(self, old_version: Any, state: Any, extra: Any) -> Any:
        self.count = extra
        return state


class Handler(GenEventHandler, dialect="erlang"):
    def init(self, *args: Any) -> None:
        self.count = 1

    def handle_event(self, event: Any) -> None:
        self.count += event

    def handle_info(self, message: Any) -> None:
        self.count += message

    def handle_call(self, request: Any) -> Any:
        self.count += request
        return self.count - request

    def code_change(self, old_version: Any, extra: Any) -> None:
        self.count = extra


def expose(node: Any, watcher: tuple[Any, Any]) -> None:
    """Expose what ``sys_functions`` exports on a BEAM."""

    def bump(state: Any) -> Any:
        if isinstance(state, tuple):
            return (*state[:-1], bump(state[-1]))
        return {atom.count: state[atom.count] + 100}

    def fail(state: Any) -> Any:
        raise ValueError("failed")

    def watch(state: Any, event: Any, name: Any) -> Any:
        assert self_() is not None
        send(watcher, (atom.watched, state, event[0], name))
        return atom.done if state == 2 else state + 1

    for function in (bump, fail, watch):
        node.runtime.resolver.expose(function, module="sys_functions")
