"""The Erlang that a started node runs to serve the test, and how it gets there.

A socket pair is handed to the node as one more file descriptor.  A one-line program, given on
the command line in the node's own language, opens it as a port and evaluates the text that
comes first: :data:`SERVER`.  So the node needs no file of ours, which a chroot would not see,
and what it prints never mixes with the answers.  When the test's process ends, however it ends,
the port meets its end of file and the node halts: no node outlives its test.

Requests are ``<<Operation, Id:32, Term/binary>>`` and answers ``<<Id:32, Status, Term/binary>>``,
each after a 4-byte length; Status 0 is a value, 1 is ``{Kind, Reason, Stack, Text}``, 2 means
that the node is ready.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "OP_DROP_SHELL",
    "OP_EVAL",
    "OP_RPC",
    "OP_STOP",
    "SERVER",
    "STATUS_READY",
    "STATUS_VALUE",
    "boot",
]

OP_EVAL: Final = 1
OP_RPC: Final = 2
OP_DROP_SHELL: Final = 3
OP_STOP: Final = 4

STATUS_VALUE: Final = 0
STATUS_READY: Final = 2

_BOOT_ELIXIR: Final = (
    "port = Port.open({{:fd, {fd}, {fd}}}, [:binary, :eof, packet: 4]); "
    "receive do {{^port, {{:data, source}}}} -> "
    "{{:ok, tokens, _}} = :erl_scan.string(:unicode.characters_to_list(source)); "
    "{{:ok, forms}} = :erl_parse.parse_exprs(tokens); "
    "{{:value, start, _}} = :erl_eval.exprs(forms, []); start.(port) end"
)
_BOOT_ERLANG: Final = (
    "Port = open_port({{fd, {fd}, {fd}}}, [binary, eof, {{packet, 4}}]), "
    "receive {{Port, {{data, Source}}}} -> "
    "{{ok, Tokens, _}} = erl_scan:string(unicode:characters_to_list(Source)), "
    "{{ok, Forms}} = erl_parse:parse_exprs(Tokens), "
    "{{value, Start, _}} = erl_eval:exprs(Forms, []), Start(Port) end."
)


def boot(language: str, fd: int) -> str:
    """Return the program for the command line of a node that has the control socket as ``fd``."""
    return (_BOOT_ELIXIR if language == "elixir" else _BOOT_ERLANG).format(fd=fd)


# A shell is a process that evaluates one text after another and keeps their variables, as a
# console does.  The server hands it the texts, and answers in its place when it dies.
SERVER: Final = r"""
fun(Port) ->
    Answer = fun(Id, Status, Term) ->
        port_command(Port, <<Id:32, Status, (term_to_binary(Term))/binary>>)
    end,
    Format = fun
        (elixir, Kind, Reason, Stack) ->
            'Elixir.Exception':format(Kind, Reason, Stack);
        (erlang, Kind, Reason, Stack) ->
            unicode:characters_to_binary(erl_error:format_exception(Kind, Reason, Stack))
    end,
    Ours = [erl_eval, elixir, 'Elixir.Code', 'Elixir.Module.ParallelChecker'],
    Prune = fun(Stack) -> [Frame || Frame <- Stack, not lists:member(element(1, Frame), Ours)] end,
    Attempt = fun(Language, Work, Otherwise) ->
        try Work() of
            {Value, Next} -> {0, Value, Next}
        catch
            Kind:Reason:Whole ->
                Stack = Prune(Whole),
                {1, {Kind, Reason, Stack, Format(Language, Kind, Reason, Stack)}, Otherwise}
        end
    end,
    Evaluate = fun
        (elixir, Code, Given, State) ->
            {Old, Env} = case State of
                #{elixir := Kept} -> Kept;
                _ -> {[], 'Elixir.Code':env_for_eval([{file, <<"eval">>}])}
            end,
            Quoted = 'Elixir.Code':'string_to_quoted!'(Code, [{file, <<"eval">>}]),
            Bindings = 'Elixir.Keyword':merge(Old, Given),
            {Value, New, NewEnv} =
                'Elixir.Code':eval_quoted_with_env(Quoted, Bindings, Env),
            {Value, State#{elixir => {New, NewEnv}}};
        (erlang, Code, Given, State) ->
            Old = maps:get(erlang, State, erl_eval:new_bindings()),
            Bindings = lists:foldl(
                fun({K, V}, B) -> erl_eval:add_binding(K, V, erl_eval:del_binding(K, B)) end,
                Old, Given),
            Scanned = case erl_scan:string(unicode:characters_to_list(Code)) of
                {ok, Some, End} -> case lists:last([none | Some]) of
                    {dot, _} -> Some;
                    _ -> Some ++ [{dot, End}]
                end;
                {error, {_, Scan, What}, _} ->
                    error({syntax, lists:flatten(Scan:format_error(What))})
            end,
            Expressions = case erl_parse:parse_exprs(Scanned) of
                {ok, Parsed} -> Parsed;
                {error, {_, Parse, Why}} ->
                    error({syntax, lists:flatten(Parse:format_error(Why))})
            end,
            {value, Value, New} = erl_eval:exprs(Expressions, Bindings),
            {Value, State#{erlang => New}}
    end,
    Shell = fun Shell(Server, State) ->
        receive
            {'$pynode_eval', Id, Language, Code, Given} ->
                {Status, Term, Next} = Attempt(
                    Language, fun() -> Evaluate(Language, Code, Given, State) end, State),
                Answer(Id, Status, Term),
                Server ! {'$pynode_done', self(), Id},
                Shell(Server, Next)
        end
    end,
    Handle = fun
        (1, Id, {Name, Language, Code, Given}, Shells) ->
            {Pid, Ids} = case Shells of
                #{Name := Running} -> Running;
                _ ->
                    Server = self(),
                    {Started, _} = spawn_monitor(fun() -> Shell(Server, #{}) end),
                    {Started, []}
            end,
            Pid ! {'$pynode_eval', Id, Language, Code, Given},
            Shells#{Name => {Pid, [Id | Ids]}};
        (2, Id, {Language, Module, Function, Arguments}, Shells) ->
            spawn(fun() ->
                {Status, Term, _} = Attempt(
                    Language, fun() -> {apply(Module, Function, Arguments), none} end, none),
                Answer(Id, Status, Term)
            end),
            Shells;
        (3, _, Name, Shells) ->
            case Shells of
                #{Name := {Pid, _}} -> exit(Pid, kill);
                _ -> ok
            end,
            maps:remove(Name, Shells);
        (4, _, _, Shells) ->
            init:stop(),
            Shells
    end,
    Ended = fun(Pid, Reason, Shells) ->
        Text = unicode:characters_to_binary(
            io_lib:format("the process that evaluates ended: ~tp", [Reason])),
        Gone = maps:filter(fun(_, {P, _}) -> P =:= Pid end, Shells),
        [Answer(Id, 1, {exit, Reason, [], Text}) || {_, Ids} <- maps:values(Gone), Id <- Ids],
        maps:without(maps:keys(Gone), Shells)
    end,
    Loop = fun Loop(Shells) ->
        receive
            {Port, {data, <<Operation, Id:32, Term/binary>>}} ->
                Loop(Handle(Operation, Id, binary_to_term(Term), Shells));
            {Port, eof} ->
                erlang:halt(1, [{flush, false}]);
            {'$pynode_done', Pid, Id} ->
                Loop(maps:map(
                    fun(_, {P, Ids}) when P =:= Pid -> {P, lists:delete(Id, Ids)}; (_, S) -> S end,
                    Shells));
            {'DOWN', _, process, Pid, Reason} ->
                Loop(Ended(Pid, Reason, Shells));
            _ ->
                Loop(Shells)
        end
    end,
    Elixir = case erlang:function_exported('Elixir.System', version, 0) of
        true -> 'Elixir.System':version();
        false -> nil
    end,
    Pid = spawn(fun() ->
        receive go -> ok end,
        Answer(0, 2, {node(), erlang:system_info(otp_release), Elixir}),
        Loop(#{})
    end),
    true = port_connect(Port, Pid),
    true = unlink(Port),
    Pid ! go
end.
"""
