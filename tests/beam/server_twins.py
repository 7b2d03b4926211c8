"""A gen_server that ends in every way, in Erlang and in Python."""

from __future__ import annotations

from typing import Any

from pynode import NO_REPLY, Exit, GenServer, Ignore, Stop, atom, send
from pynode.behaviours import gen
from pynode.terms import Pid

__all__ = ["DRIVER", "SERVER", "Ends"]

SERVER = """
-module(ends).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, handle_continue/2, terminate/2]).
init({_, _, {stop, R}}) -> {stop, R};
init({_, _, ignore}) -> ignore;
init({_, _, {exit, R}}) -> exit(R);
init({To, Trap, {continue, C}}) -> process_flag(trap_exit, Trap), {ok, To, {continue, C}};
init({To, Trap, {timeout, T}}) -> process_flag(trap_exit, Trap), {ok, To, T};
init({To, Trap, ok}) -> process_flag(trap_exit, Trap), {ok, To}.
handle_call({do, What}, From, To) -> do(What, From, To).
handle_cast({do, What}, To) -> do(What, none, To).
handle_continue({do, What}, To) -> do(What, none, To);
handle_continue(C, To) -> To ! {continue, C}, {noreply, To}.
handle_info({do, What}, To) -> do(What, none, To);
handle_info({'EXIT', _, R}, To) -> To ! {exit_message, R}, {noreply, To};
handle_info(M, To) -> To ! {info, M}, {noreply, To}.
do({stop, R}, _, To) -> {stop, R, To};
do({stop, R, Reply}, none, To) -> _ = Reply, {stop, R, To};
do({stop, R, Reply}, _, To) -> {stop, R, Reply, To};
do({exit, R}, _, _) -> exit(R);
do(crash, _, _) -> error(crashed);
do(rubbish, _, To) -> {noreply, To, rubbish};
do({continue, C}, none, To) -> {noreply, To, {continue, C}};
do({continue, C}, _, To) -> {reply, continued, To, {continue, C}};
do({timeout, T}, none, To) -> {noreply, To, T};
do({timeout, T}, _, To) -> {reply, waits, To, T};
do(later, none, To) -> {noreply, To};
do(later, From, To) -> gen_server:reply(From, at_last), {noreply, To};
do(What, none, To) -> To ! {got, What}, {noreply, To};
do(What, _, To) -> {reply, {got, What}, To}.
terminate(R, To) -> To ! {terminate, ends_driver:short(R)}.
"""

#: Starts a server on its own node or is given one, acts on it, and tells all that came of it.
DRIVER = """
-module(ends_driver).
-export([alone/1, waiting/1, run/1, start/2, act/2, short/1]).
alone(Cases) -> [act(start(Trap, Init), Act) || {Trap, Init, Act} <- Cases].
waiting(Count) ->
    Self = self(),
    [spawn(fun() -> receive {go, Pid, Act} -> Self ! {self(), act(Pid, Act)} end end)
     || _ <- lists:seq(1, Count)].
run(Cases) ->
    [Waiting ! {go, Pid, Act} || {Waiting, Pid, Act} <- Cases],
    [receive {Waiting, Result} -> Result end || {Waiting, _, _} <- Cases].
start(Trap, Init) ->
    case gen_server:start(ends, {self(), Trap, Init}, []) of
        {ok, Pid} -> Pid;
        Other -> short(Other)
    end.
act(Pid, Act) when is_pid(Pid) ->
    Ref = monitor(process, Pid),
    Answer = (catch do(Act, Pid)),
    _ = (catch gen_server:call(Pid, {do, barrier}, 20000)),
    Events = drained(),
    Alive = receive {'DOWN', Ref, _, _, Why} -> {down, short(Why)} after 0 -> alive end,
    exit(Pid, kill),
    {short(Answer), Events, Alive};
act(Other, _) -> {Other, drained()}.
do({call, X}, Pid) -> gen_server:call(Pid, {do, X}, 20000);
do({cast, X}, Pid) -> gen_server:cast(Pid, {do, X});
do({info, X}, Pid) -> Pid ! {do, X}, sent;
do({stop, R}, Pid) -> gen_server:stop(Pid, R, 20000);
do({exit, R}, Pid) -> exit(Pid, R);
do({wait, X}, Pid) ->
    A = gen_server:call(Pid, {do, X}, 20000),
    receive {info, _} = M -> self() ! M after 5000 -> ok end,
    A.
drained() -> receive {'DOWN', _, _, _, _} = D -> L = drained(), self() ! D, L;
                     M -> [M | drained()] after 0 -> [] end.
short({'EXIT', R}) -> {exit, short(R)};
short({R, {gen_server, call, _}}) -> short(R);
short({R, {gen_server, stop, _}}) -> short(R);
short({error, R}) -> {error, short(R)};
short({python_error, 'ValueError', <<"crashed">>}) -> crashed;
short({bad_return_value, _}) -> bad_return_value;
short({R, [{_, _, _, _} | _]}) -> short(R);
short({R, []}) -> short(R);
short({R, {_, _, [_ | _]}}) -> short(R);
short(R) -> R.
"""


class Ends(GenServer, module="ends"):
    def init(self, to: Pid, trap: bool, begin: Any) -> None:
        self.to = to
        self.trap_exit = trap
        match begin:
            case (atom.stop, reason):
                raise Stop(reason)
            case atom.ignore:
                raise Ignore
            case (atom.exit, reason):
                raise Exit(reason)
            case (word, term) if word == atom("continue"):
                self.continue_with(term)
            case (atom.timeout, milliseconds):
                self.set_timeout(milliseconds / 1000)

    def handle_call(self, request: Any, caller: gen.Caller) -> Any:
        return self.do(request[1], caller)

    def handle_cast(self, request: Any) -> Any:
        return self.do(request[1], None)

    def handle_continue(self, term: Any) -> Any:
        if isinstance(term, tuple):
            return self.do(term[1], None)
        return send(self.to, (atom("continue"), term))

    def handle_info(self, message: Any) -> Any:
        match message:
            case (atom.do, what):
                return self.do(what, None)
            case (atom.EXIT, _, reason):
                return send(self.to, (atom.exit_message, reason))
        return send(self.to, (atom.info, message))

    def do(self, what: Any, caller: gen.Caller | None) -> Any:
        match what:
            case (atom.stop, reason):
                raise Stop(reason)
            case (atom.stop, reason, reply):
                raise Stop(reason, reply=reply)
            case (atom.exit, reason):
                raise Exit(reason)
            case atom.crash:
                raise ValueError("crashed")
            case atom.rubbish:
                if caller is None:
                    return (atom.noreply, atom.rubbish)
                raise Stop((atom.bad_return_value, atom.rubbish))
            case (word, term) if word == atom("continue"):
                self.continue_with(term)
                return None if caller is None else atom.continued
            case (atom.timeout, milliseconds):
                self.set_timeout(milliseconds / 1000)
                return None if caller is None else atom.waits
            case atom.later:
                if caller is not None:
                    caller.reply(atom.at_last)
                return None if caller is None else NO_REPLY
        if caller is None:
            return send(self.to, (atom.got, what))
        return (atom.got, what)

    def terminate(self, reason: Any) -> None:
        match reason:
            case (first, [*_]):
                reason = first
            case (atom.bad_return_value, _):
                reason = atom.bad_return_value
        if isinstance(reason, tuple) and reason[0] == atom.python_error:
            reason = atom.crashed
        send(self.to, (atom.terminate, reason))
