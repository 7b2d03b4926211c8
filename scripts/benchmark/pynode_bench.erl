%% The BEAM's half of the benchmark, and the BEAM's own figures to compare with.  Times are
%% microseconds, as floats; those of single calls nanoseconds.
-module(pynode_bench).
-behaviour(gen_server).
-export([encode/2, decode/2, server/0, sink/0, calls/3, flood/3, big/2, spawned/1, servers/1,
         ring/2, fanout/2]).
-export([init/1, handle_call/3, handle_cast/2]).

%% ------------------------------------------------------------------ the codec

%% What each round makes goes on to the next, or the compiler would leave the making out.
encode(Term, Count) -> alone(fun() -> timed(fun() -> encode_loop(Term, Count, none) end) end).

encode_loop(_, 0, Last) -> Last;
encode_loop(Term, N, _) -> encode_loop(Term, N - 1, term_to_binary(Term)).

decode(Binary, Count) -> alone(fun() -> timed(fun() -> decode_loop(Binary, Count, none) end) end).

decode_loop(_, 0, Last) -> Last;
decode_loop(Binary, N, _) -> decode_loop(Binary, N - 1, binary_to_term(Binary)).

%% ------------------------------------------------------------------ messages

%% A gen_server that answers each call with the request.
server() ->
    {ok, Pid} = gen_server:start(?MODULE, {1, 2, 3}, []),
    Pid.

init(State) -> {ok, State}.
handle_call(Request, _, State) -> {reply, Request, State}.
handle_cast(_, State) -> {noreply, State}.

%% A process that reads everything, and answers {From, Ref} and {From, Ref, Something} with Ref.
sink() -> spawn(fun swallow/0).

swallow() ->
    receive
        {From, Ref} when is_reference(Ref) -> From ! Ref, swallow();
        {From, Ref, _} when is_reference(Ref) -> From ! Ref, swallow();
        _ -> swallow()
    end.

%% How long each of Count calls took: the median and the 99th percentile.
calls(Server, Request, Count) ->
    alone(fun() ->
        All = lists:sort([call(Server, Request) || _ <- lists:seq(1, Count)]),
        {lists:nth((Count + 1) div 2, All), lists:nth((Count * 99 + 99) div 100, All)}
    end).

call(Server, Request) ->
    Begun = erlang:monotonic_time(nanosecond),
    Request = gen_server:call(Server, Request, infinity),
    erlang:monotonic_time(nanosecond) - Begun.

%% Send Message Count times, until the other end says that it has read them.
flood(To, Message, Count) ->
    alone(fun() -> timed(fun() -> flood_loop(To, Message, Count), settle(To) end) end).

flood_loop(_, _, 0) -> ok;
flood_loop(To, Message, N) -> To ! Message, flood_loop(To, Message, N - 1).

settle(To) ->
    Ref = make_ref(),
    To ! {self(), Ref},
    receive Ref -> ok end.

%% Send one binary of Size bytes, until the other end says that it has it.
big(To, Size) ->
    alone(fun() ->
        Binary = binary:copy(<<7>>, Size),
        timed(fun() ->
            Ref = make_ref(),
            To ! {self(), Ref, Binary},
            receive Ref -> ok end
        end)
    end).

%% ------------------------------------------------------------------ processes

%% Spawn Count processes, until each has begun to wait.
spawned(Count) ->
    alone(fun() ->
        Self = self(),
        Wait = fun() -> receive stop -> ok end end,
        Last = fun() -> Self ! begun, Wait() end,
        Begun = erlang:monotonic_time(nanosecond),
        Pids = [spawn(Wait) || _ <- lists:seq(2, Count)],
        Final = spawn(Last),
        receive begun -> ok end,
        Spent = erlang:monotonic_time(nanosecond) - Begun,
        _ = [Pid ! stop || Pid <- [Final | Pids]],
        Spent / 1000
    end).

%% Bytes of each of Count gen_servers with a state of three.
servers(Count) ->
    alone(fun() ->
        garbage_collect(),
        Before = erlang:memory(processes),
        Pids = [server() || _ <- lists:seq(1, Count)],
        Bytes = (erlang:memory(processes) - Before) / Count,
        _ = [exit(Pid, kill) || Pid <- Pids],
        Bytes
    end).

%% Pass a message Rounds times around a ring of Size processes.
ring(Size, Rounds) ->
    alone(fun() ->
        First = lists:foldl(fun(_, Next) -> spawn(fun() -> pass(Next) end) end, self(),
                            lists:seq(2, Size)),
        Spent = timed(fun() -> go_round(First, Rounds) end),
        First ! stop,
        receive stop -> Spent end
    end).

pass(Next) ->
    receive
        stop -> Next ! stop;
        Message -> Next ! Message, pass(Next)
    end.

go_round(_, 0) -> ok;
go_round(First, N) -> First ! token, receive token -> go_round(First, N - 1) end.

%% One message to each of Size processes, Rounds times, until all have said that they got it.
fanout(Size, Rounds) ->
    alone(fun() ->
        Self = self(),
        Pids = [spawn(fun() -> subscriber(Self) end) || _ <- lists:seq(1, Size)],
        Spent = timed(fun() -> notify(Pids, Size, Rounds) end),
        _ = [exit(Pid, kill) || Pid <- Pids],
        Spent
    end).

subscriber(Back) -> receive _ -> Back ! got, subscriber(Back) end.

notify(_, _, 0) -> ok;
notify(Pids, Size, N) ->
    _ = [Pid ! {notify, <<"x">>} || Pid <- Pids],
    gather(Size),
    notify(Pids, Size, N - 1).

gather(0) -> ok;
gather(N) -> receive got -> gather(N - 1) end.

%% ------------------------------------------------------------------ time

timed(Function) ->
    Begun = erlang:monotonic_time(nanosecond),
    _ = Function(),
    (erlang:monotonic_time(nanosecond) - Begun) / 1000.

%% In a process of its own, with an empty mailbox and heap.
alone(Function) ->
    {Pid, Ref} = spawn_monitor(fun() -> exit({done, Function()}) end),
    receive {'DOWN', Ref, process, Pid, {done, Result}} -> Result end.
