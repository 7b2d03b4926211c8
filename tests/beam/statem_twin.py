"""A state machine that does what its events say, in Erlang and in Python.

An event's content is ``{do, Id, Transition, Actions, OnEnter}``: the machine writes down type, id
and state, and returns that transition with those actions; ``OnEnter`` are the actions of the state
enter call that may follow.  ``{batch, [Content]}`` inserts several at once, so that nothing comes
between them.  After ``MOST`` events it only keeps its state, for scripts can go in circles.
"""

from __future__ import annotations

import random
from typing import Any, ClassVar

from pynode import GenStatem, Stop, atom, self_, send, statem
from pynode.terms import Pid

__all__ = ["DRIVER", "MACHINE", "MOST", "TwinEvents", "TwinStates", "script"]

MOST = 80

#: Both callback modes; %MODULE% and %MODE% are filled in.
MACHINE = """
-module(%MODULE%).
-behaviour(gen_statem).
-export([init/1, callback_mode/0, a/3, b/3, c/3, handle_event/4, terminate/3, code_change/4]).
callback_mode() -> [%MODE%, state_enter].
init({To, Actions}) -> {ok, a, {To, [], 0, []}, Actions}.
a(T, C, D) -> handle(T, C, a, D).
b(T, C, D) -> handle(T, C, b, D).
c(T, C, D) -> handle(T, C, c, D).
handle_event(T, C, S, D) -> handle(T, C, S, D).
handle(enter, Old, S, {To, Trace, N, OnEnter}) ->
    {keep_state, {To, [{enter, Old, S, ?M} | Trace], N + 1, []}, OnEnter};
handle({call, From}, trace, _, {_, Trace, _, _}) ->
    {keep_state_and_data, {reply, From, lists:reverse(Trace)}};
handle(Type, {batch, Contents}, _, {To, Trace, N, OnEnter}) ->
    {keep_state, {To, [{plain(Type), batch} | Trace], N + 1, OnEnter},
     [{next_event, internal, C} || C <- Contents]};
handle(Type, {do, Id, Next, Actions, OnEnter}, S, {To, Trace, N, _}) ->
    D = {To, [{plain(Type), Id, S, ?M} | Trace], N + 1, OnEnter},
    if
        N > %MOST% -> {keep_state, setelement(4, D, [])};
        true -> next(Next, D, [mine(A, Type) || A <- Actions])
    end;
handle(Type, Other, S, {To, Trace, N, OnEnter}) ->
    {keep_state, {To, [{plain(Type), other, Other, S} | Trace], N + 1, OnEnter}}.
plain({call, _}) -> call;
plain(Type) -> Type.
next(keep, D, A) -> {keep_state, D, A};
next(repeat, D, A) -> {repeat_state, D, A};
next({next, S}, D, A) -> {next_state, S, D, A};
next({stop, R}, D, _) -> {stop, R, D};
next({stop_and_reply, R}, D, A) -> {stop_and_reply, R, A, D};
next(crash, _, _) -> error(crashed);
next(bad, _, _) -> rubbish.
mine({reply, V}, {call, From}) -> {reply, From, V};
mine({reply, V}, _) -> {next_event, internal, {no_caller, V}};
mine(A, _) -> A.
terminate(Reason, S, {To, Trace, N, _}) -> To ! {terminated, short(Reason), S, N, hd(Trace)}.
short({Tag, _}) when is_atom(Tag) -> Tag;
short(Reason) -> Reason.
code_change(_, S, {To, Trace, N, OnEnter}, Extra) ->
    {ok, S, {To, [{code_change, Extra} | Trace], N, OnEnter}}.
"""

#: Sends a list of events to a machine, waits until nothing more follows, and tells what came.
DRIVER = """
-module(twin_driver).
-export([drive/2, start/2]).
start(Module, Actions) ->
    {ok, Pid} = gen_statem:start(Module, {self(), Actions}, []),
    Pid.
drive(Pid, Events) ->
    Ref = monitor(process, Pid),
    Requests = lists:append([put_out(Pid, E) || E <- Events]),
    End = quiet(Pid, 400),
    Trace = case End of
        quiet -> gen_statem:call(Pid, trace);
        _ -> ended
    end,
    Status = case End of
        quiet ->
            {status, _, {module, M}, [_, Sys, _, _, Parts]} = sys:get_status(Pid, 20000),
            Data = lists:append([X || {data, X} <- Parts]),
            {_, {State, _}} = lists:keyfind("State", 1, Data),
            {_, {Number, Outs}} = lists:keyfind("Time-outs", 1, Data),
            {_, Postponed} = lists:keyfind("Postponed", 1, Data),
            {M, Sys, State, Number, lists:sort(Outs),
             [{case T of {call, _} -> call; _ -> T end, C} || {T, C} <- Postponed]};
        _ -> ended
    end,
    Answers = [short(gen_statem:wait_response(R, 0)) || R <- Requests],
    Words = receive {terminated, A, B, C, D} -> {terminated, A, B, C, D} after 0 -> none end,
    Why = case End of
        quiet ->
            unlink(Pid), exit(Pid, kill),
            receive {'DOWN', Ref, _, _, _} -> quiet end;
        _ ->
            receive {'DOWN', Ref, _, _, Reason} -> short(Reason) end
    end,
    {Trace, Status, Answers, Words, Why}.
put_out(Pid, {cast, C}) -> gen_statem:cast(Pid, C), [];
put_out(Pid, {info, C}) -> Pid ! C, [];
put_out(Pid, {call, C}) -> [gen_statem:send_request(Pid, C)];
put_out(Pid, suspend) -> catch sys:suspend(Pid, 20000), [];
put_out(Pid, resume) -> catch sys:resume(Pid, 20000), [];
put_out(Pid, {code_change, X}) ->
    catch sys:change_code(Pid, twin, undefined, X, 20000), [].
quiet(_, 0) -> loud;
quiet(Pid, N) ->
    try sys:get_status(Pid, 20000) of
        {status, _, _, [_, _, _, _, Parts]} ->
            Data = lists:append([X || {data, X} <- Parts]),
            {_, {_, Outs}} = lists:keyfind("Time-outs", 1, Data),
            case [T || {T, C} <- Outs, C =/= long] of
                [] -> quiet;
                _ -> timer:sleep(10), quiet(Pid, N - 1)
            end
    catch
        exit:_ -> ended
    end.
short({error, {Reason, _}}) -> {error, short(Reason)};
short({{Tag, _}, Stack}) when is_atom(Tag), is_list(Stack) -> Tag;
short({Reason, [{_, _, _, _} | _]}) -> short(Reason);
short({python_error, 'ValueError', <<"crashed">>}) -> crashed;
short({Reason, []}) -> short(Reason);
short({Tag, _}) when is_atom(Tag), Tag =/= reply, Tag =/= shutdown -> Tag;
short(Reason) -> Reason.
"""


# --------------------------------------------------------------------------- in Python


class _Twin(GenStatem):
    twins: ClassVar[dict[str, Any]] = {}

    def init(self, to: Pid, actions: Any) -> Any:
        self.to = to
        self.trace: list[Any] = []
        self.count = 0
        self.on_enter: list[Any] = []
        return statem.NextState(atom.a, *[self.action(each) for each in actions])

    def handle(self, kind: Any, content: Any, state: Any) -> Any:
        module = self._module
        if kind == atom.enter:
            self.note((atom.enter, content, state, module))
            actions, self.on_enter = self.on_enter, []
            return statem.KeepState(*[self.action(each) for each in actions])
        plain = atom.call if isinstance(kind, tuple) and kind[0] == atom.call else kind
        match content:
            case atom.trace if plain == atom.call:
                return statem.KeepState(statem.Reply(kind[1], self.trace))
            case (atom.batch, contents):
                self.note((plain, atom.batch))
                events = [statem.NextEvent(atom.internal, each) for each in contents]
                return statem.KeepState(*events)
            case (atom.do, _, atom.crash | atom.bad as end, _, _) if self.count <= MOST:
                # In Erlang the data that such a callback would have returned are lost.
                return self.following(end, [])
            case (atom.do, ident, following, actions, on_enter):
                self.note((plain, ident, state, module))
                if self.count - 1 > MOST:
                    self.on_enter = []
                    return statem.KeepState()
                self.on_enter = on_enter
                return self.following(following, [self.action(each, kind) for each in actions])
            case other:
                self.note((plain, atom.other, other, state))
                return None

    def note(self, entry: Any) -> None:
        self.trace.append(entry)
        self.count += 1

    def following(self, following: Any, actions: list[Any]) -> Any:
        match following:
            case atom.keep:
                return statem.KeepState(*actions)
            case atom.repeat:
                return statem.RepeatState(*actions)
            case (atom.next, state):
                return statem.NextState(state, *actions)
            case (atom.stop, reason):
                raise Stop(reason)
            case (atom.stop_and_reply, reason):
                return statem.StopAndReply(reason, *actions)
            case atom.crash:
                raise ValueError("crashed")
        return "rubbish"

    def action(self, action: Any, kind: Any = None) -> Any:
        match action:
            case (atom.reply, value):
                if isinstance(kind, tuple) and kind[0] == atom.call:
                    return statem.Reply(kind[1], value)
                return statem.NextEvent(atom.internal, (atom.no_caller, value))
            case atom.postpone:
                return statem.Postpone()
            case (atom.postpone, flag):
                return statem.Postpone(flag)
            case (atom.next_event, kind_, content):
                return statem.NextEvent(kind_, content)
            case (atom.push_callback_module, name):
                return statem.PushCallbackModule(self.twins[str(name)])
            case (atom.change_callback_module, name):
                return statem.ChangeCallbackModule(self.twins[str(name)])
            case atom.pop_callback_module:
                return statem.PopCallbackModule()
            case (what, *rest):
                return self.timer(what, rest)
        return action

    def timer(self, what: Any, rest: list[Any]) -> Any:
        kinds = {atom.timeout: statem.EventTimeout, atom.state_timeout: statem.StateTimeout}
        kind: Any = kinds.get(what, statem.Timeout)
        name = () if what in kinds else (what[1],)
        match rest:
            case [atom.cancel]:
                return kind.cancel(*name)
            case [atom.update, content]:
                return kind.update(*name, content)
            case [atom.infinity, content]:
                return kind(*name, None, content)
            case [milliseconds, content]:
                return kind(*name, milliseconds / 1000, content)
        return "rubbish"

    def terminate(self, reason: Any, state: Any) -> None:
        short = reason[0] if isinstance(reason, tuple) and len(reason) == 2 else reason
        if isinstance(reason, tuple) and reason[0] == atom.python_error:
            short = atom.crashed
        send(self.to, (atom.terminated, short, state, self.count, self.trace[-1]))
        assert self_() == self.pid

    def code_change(self, old_version: Any, state: Any, extra: Any) -> Any:
        self.trace.append((atom.code_change, extra))
        return state


class TwinStates(_Twin, callback_mode="state_functions", state_enter=True, module="twin_states"):
    def a(self, kind: Any, content: Any) -> Any:
        return self.handle(kind, content, atom.a)

    def b(self, kind: Any, content: Any) -> Any:
        return self.handle(kind, content, atom.b)

    async def c(self, kind: Any, content: Any) -> Any:
        return self.handle(kind, content, atom.c)


class TwinEvents(
    _Twin, callback_mode="handle_event_function", state_enter=True, module="twin_events"
):
    def handle_event(self, kind: Any, content: Any, state: Any) -> Any:
        return self.handle(kind, content, state)


_Twin.twins.update(twin_states=TwinStates, twin_events=TwinEvents)


# --------------------------------------------------------------------------- scripts

_STATES = (atom.a, atom.b, atom.c)


class _Writer:
    """Writes random scripts; ids tell the events apart."""

    def __init__(self, dice: random.Random, bad: bool) -> None:
        self.dice = dice
        self.bad = bad
        self.ident = 0
        # OTP 25 mistakes a timeout of 0 that still waits for one of another time: a kind has 0
        # or times of its own in one script.
        kinds = (atom.timeout, atom.state_timeout)
        self.zero: dict[Any, bool] = {kind: dice.random() < 0.5 for kind in kinds}

    def content(self, depth: int = 0) -> Any:
        self.ident += 1
        ident = self.ident
        dice = self.dice
        following = dice.choices([atom.keep, atom.repeat, self.to(), *self.ends()], self.odds())[0]
        actions = [self.action(depth) for _ in range(dice.choice([0, 0, 1, 1, 2, 3]))]
        if isinstance(following, tuple) and following[0] == atom.stop_and_reply:
            actions = [(atom.reply, ident)] if dice.random() < 0.9 else actions
        on_enter = [self.on_enter(depth) for _ in range(dice.choice([0, 0, 0, 1, 2]))]
        return (atom.do, ident, following, actions, on_enter)

    def to(self) -> Any:
        return (atom.next, self.dice.choice(_STATES))

    def ends(self) -> list[Any]:
        reasons = [atom.normal, atom.shutdown, (atom.shutdown, 1), atom.odd]
        reason = self.dice.choice(reasons)
        return [(atom.stop, reason), (atom.stop_and_reply, reason), atom.crash, atom.bad]

    def odds(self) -> list[float]:
        end = 0.05 if self.bad else 0.0
        return [3.0, 1.0, 4.0, end, end, end, end]

    def action(self, depth: int) -> Any:
        dice = self.dice
        choice = dice.random()
        if self.bad and choice < 0.04:
            return dice.choice([atom.rubbish, (atom.next_event, atom.rubbish, 1)])
        if choice < 0.25:
            return atom.postpone
        if choice < 0.30:
            return (atom.postpone, dice.random() < 0.5)
        if choice < 0.45:
            return (atom.reply, (atom.answer, self.ident))
        if choice < 0.65 and depth < 2:
            kinds = [atom.internal, atom.cast, atom.info, atom.state_timeout, (atom.timeout, 1)]
            return (atom.next_event, dice.choice(kinds), self.content(depth + 1))
        if choice < 0.72:
            modules = ["twin_states", "twin_events"]
            tags = [atom.push_callback_module, atom.change_callback_module]
            other = atom(dice.choice(modules))
            return dice.choice([*((tag, other) for tag in tags)])
        if choice < 0.74 and self.bad:
            return atom.pop_callback_module
        return self.timer(depth)

    def on_enter(self, depth: int) -> Any:
        dice = self.dice
        if self.bad and dice.random() < 0.05:
            return dice.choice([atom.postpone, (atom.next_event, atom.internal, 1)])
        return self.timer(depth)

    def timer(self, depth: int) -> Any:
        dice = self.dice
        kind: Any = dice.choice(
            [atom.timeout, atom.state_timeout, (atom.timeout, atom.zero), (atom.timeout, atom.real)]
        )
        zero = self.zero.get(kind, kind == (atom.timeout, atom.zero))
        content = atom.other if depth >= 2 else self.content(depth + 1)
        if dice.random() < 0.15:
            return (kind, atom.cancel)
        if zero:
            return (kind, atom.update, content) if dice.random() < 0.2 else (kind, 0, content)
        if dice.random() < 0.3:
            return (kind, dice.choice([60_000, atom.infinity]), atom.long)
        return (kind, dice.choice([20, 70, 130]), content)


def script(seed: int) -> tuple[list[Any], list[Any]]:
    """Return the actions of ``init``, and a list of events for ``twin_driver:drive/2``.

    All messages are there before the machine looks at them, so that what it starts at the first
    one cannot come between.
    """
    dice = random.Random(seed)
    writer = _Writer(dice, bad=seed % 3 == 0)
    first = dice.choice([[], [], [((atom.timeout, atom.zero), 0, writer.content(1))]])
    events: list[Any] = [atom.suspend]
    if seed % 7 == 0:
        events.append((atom.code_change, seed))
    for _ in range(dice.randint(1, 4)):
        contents = [writer.content() for _ in range(dice.randint(1, 5))]
        kind = dice.choice([atom.cast, atom.info, atom.call])
        if len(contents) > 1:
            events.append((kind, (atom.batch, contents)))
        else:
            events.append((kind, contents[0]))
    return first, [*events, atom.resume]
