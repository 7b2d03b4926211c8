# The actor of actor.py on a BEAM: takes {:do, from, ref, op, args}, answers {:done, ref, result}
# or {:failed, ref, :badarg}, and keeps every other message in order.
defmodule :semantics do
  def tell(to, term), do: send(to, {self(), term})

  def wait do
    receive do
      {:stop, reason} -> exit(reason)
    end
  end

  def start, do: spawn(fn -> loop([], []) end)

  defp loop([message | kept], [{from, ref} | waiting]) do
    send(from, {:done, ref, message})
    loop(kept, waiting)
  end

  defp loop(kept, waiting) do
    receive do
      {:do, from, ref, :next, []} ->
        loop(kept, waiting ++ [{from, ref}])

      {:do, from, ref, :kept, []} ->
        send(from, {:done, ref, kept})
        loop(kept, waiting)

      {:do, from, ref, operation, args} ->
        send(from, answer(ref, operation, args))
        loop(kept, waiting)

      message ->
        loop(kept ++ [message], waiting)
    end
  end

  defp answer(ref, operation, args) do
    {:done, ref, act(operation, args)}
  rescue
    ArgumentError -> {:failed, ref, :badarg}
  end

  defp act(:alias, [options]), do: :erlang.alias(options)

  defp act(:call, [dest, request, timeout]) do
    {:ok, :gen_server.call(dest, request, timeout)}
  catch
    :exit, {reason, {:gen_server, :call, _}} -> {:exited, reason}
  end

  defp act(:cast, [dest, request]), do: :gen_server.cast(dest, request)
  defp act(:cancel_timer, [ref]), do: :erlang.cancel_timer(ref)
  defp act(:demonitor, [ref, options]), do: :erlang.demonitor(ref, options)
  defp act(:exit, [to, reason]), do: ok(:erlang.exit(to, reason))
  defp act(:leader, []), do: :erlang.group_leader()
  defp act(:link, [to]), do: ok(:erlang.link(to))
  defp act(:links, []), do: elem(:erlang.process_info(self(), :links), 1)
  defp act(:monitor, [target]), do: :erlang.monitor(:process, target)

  defp act(:monitor_alias, [target, mode]),
    do: :erlang.monitor(:process, target, [{:alias, mode}])

  defp act(:monitor_node, [node, flag]), do: ok(:erlang.monitor_node(node, flag))
  defp act(:ping, []), do: :pong
  defp act(:read_timer, [ref]), do: :erlang.read_timer(ref)
  defp act(:register, [name]), do: ok(:erlang.register(name, self()))
  defp act(:reply, [from, term]), do: :gen_server.reply(from, term)
  defp act(:send, [to, message]), do: ok(:erlang.send(to, message))
  defp act(:send_after, [time, to, message]), do: :erlang.send_after(time, to, message)
  defp act(:send_many, [to, count]), do: ok(for(n <- 0..(count - 1), do: send(to, n)))
  defp act(:set_leader, [to, leader]), do: ok(:erlang.group_leader(leader, to))
  defp act(:spawn_request, [node, m, f, a, o]), do: :erlang.spawn_request(node, m, f, a, o)
  defp act(:start_timer, [time, to, message]), do: :erlang.start_timer(time, to, message)
  defp act(:stop, [reason]), do: exit(reason)
  defp act(:trap_exit, [flag]), do: ok(:erlang.process_flag(:trap_exit, flag))
  defp act(:unalias, [ref]), do: :erlang.unalias(ref)
  defp act(:unlink, [to]), do: ok(:erlang.unlink(to))
  defp act(:unregister, [name]), do: ok(:erlang.unregister(name))
  defp act(:whereis, [name]), do: :erlang.whereis(name)

  defp ok(_), do: :ok
end
