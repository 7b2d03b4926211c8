%% The actor of actor.py on a BEAM: takes {do, From, Ref, Operation, Args}, answers
%% {done, Ref, Result} or {failed, Ref, badarg}, and keeps every other message in order.
-module(semantics).
-export([start/0, tell/2, wait/0, fail/2, stay/1, lead/1]).

start() -> spawn(fun() -> loop([], []) end).

tell(To, Term) -> To ! {self(), Term}.

wait() ->
    receive
        {stop, Reason} -> exit(Reason)
    end.

fail(Class, Reason) -> erlang:raise(Class, Reason, []).

stay(To) ->
    To ! {staying, self()},
    receive after infinity -> ok end.

lead(To) -> To ! {leader, group_leader()}.

loop([Message | Kept], [{From, Ref} | Waiting]) ->
    From ! {done, Ref, Message},
    loop(Kept, Waiting);
loop(Kept, Waiting) ->
    receive
        {do, From, Ref, next, []} ->
            loop(Kept, Waiting ++ [{From, Ref}]);
        {do, From, Ref, kept, []} ->
            From ! {done, Ref, Kept},
            loop(Kept, Waiting);
        {do, From, Ref, Operation, Args} ->
            From ! answer(Ref, Operation, Args),
            loop(Kept, Waiting);
        Message ->
            loop(Kept ++ [Message], Waiting)
    end.

answer(Ref, Operation, Args) ->
    try
        {done, Ref, act(Operation, Args)}
    catch
        error:badarg -> {failed, Ref, badarg}
    end.

act(alias, [Options]) ->
    alias(Options);
act(call, [Dest, Request, Timeout]) ->
    try
        {ok, gen_server:call(Dest, Request, Timeout)}
    catch
        exit:{Reason, {gen_server, call, _}} -> {exited, Reason}
    end;
act(erpc, [Node, M, F, Args, Timeout]) ->
    try
        {ok, erpc:call(Node, M, F, Args, Timeout)}
    catch
        error:{exception, Reason, _} -> {error, {exception, Reason}};
        Class:Reason -> {Class, Reason}
    end;
act(erpc_cast, [Node, M, F, Args]) ->
    erpc:cast(Node, M, F, Args);
act(erpc_multicall, [Nodes, M, F, Args, Timeout]) ->
    [case Result of
         {error, {exception, Reason, _}} -> {error, {exception, Reason}};
         _ -> Result
     end || Result <- erpc:multicall(Nodes, M, F, Args, Timeout)];
act(cast, [Dest, Request]) ->
    gen_server:cast(Dest, Request);
act(cancel_timer, [Ref]) ->
    erlang:cancel_timer(Ref);
act(demonitor, [Ref, Options]) ->
    demonitor(Ref, Options);
act(exit, [To, Reason]) ->
    ok(exit(To, Reason));
act(io_request, [Device, Request]) ->
    io:request(Device, Request);
act(device, [Input]) ->
    Name = "/tmp/semantics_" ++ os:getpid() ++ integer_to_list(erlang:unique_integer([positive])),
    ok = file:write_file(Name, Input),
    {ok, Device} = file:open(Name, [read, append, binary, {encoding, unicode}]),
    put(Device, Name),
    Device;
act(written, [Device]) ->
    {ok, Text} = file:read_file(get(Device)),
    ok = file:delete(get(Device)),
    Text;
act(leader, []) ->
    group_leader();
act(link, [To]) ->
    ok(link(To));
act(links, []) ->
    element(2, process_info(self(), links));
act(monitor, [Target]) ->
    monitor(process, Target);
act(monitor_alias, [Target, Mode]) ->
    monitor(process, Target, [{alias, Mode}]);
act(monitor_node, [Node, Flag]) ->
    ok(monitor_node(Node, Flag));
act(ping, []) ->
    pong;
act(read_timer, [Ref]) ->
    erlang:read_timer(Ref);
act(register, [Name]) ->
    ok(register(Name, self()));
act(reply, [From, Term]) ->
    gen_server:reply(From, Term);
act(send, [To, Message]) ->
    ok(erlang:send(To, Message));
act(send_after, [Time, To, Message]) ->
    erlang:send_after(Time, To, Message);
act(send_many, [To, Count]) ->
    ok([To ! N || N <- lists:seq(0, Count - 1)]);
act(set_leader, [To, Leader]) ->
    ok(group_leader(Leader, To));
act(spawn_opt, [Node, M, F, A, O]) ->
    spawn_opt(Node, M, F, A, O);
act(spawn_request_abandon, [Ref]) ->
    spawn_request_abandon(Ref);
act(spawn_request, [Node, M, F, A, O]) ->
    spawn_request(Node, M, F, A, O);
act(start_timer, [Time, To, Message]) ->
    erlang:start_timer(Time, To, Message);
act(stop, [Reason]) ->
    exit(Reason);
act(trap_exit, [Flag]) ->
    ok(process_flag(trap_exit, Flag));
act(unalias, [Ref]) ->
    unalias(Ref);
act(unlink, [To]) ->
    ok(unlink(To));
act(unregister, [Name]) ->
    ok(unregister(Name));
act(whereis, [Name]) ->
    whereis(Name).

ok(_) -> ok.
