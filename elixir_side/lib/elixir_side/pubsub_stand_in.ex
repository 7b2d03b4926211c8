defmodule ElixirSide.PubSubStandIn do
  @moduledoc """
  A stand-in for Phoenix.PubSub, where the real one is not at hand: the same groups of `:pg`, the
  same messages between nodes, and as much of the rest as tests need.

      {:ok, _} = PubSubStandIn.start(MyApp.PubSub, pool_size: 2)
      PubSubStandIn.subscribe(MyApp.PubSub, "rooms:1")
      PubSubStandIn.broadcast(MyApp.PubSub, "rooms:1", :hello)

  What crosses the wire: a worker for each member of the pool is registered as, and is in the
  group, `Module.concat(name, "Adapter")`, then the same with `_2`, `_3`, ...; a broadcast is
  `{:forward_to_local, topic, message, dispatcher}` to the members of one group on other nodes.
  """

  @scope Phoenix.PubSub
  @default Phoenix.PubSub

  @doc "Starts the scope, if need be, and the PubSub `name` with its pool; not linked."
  @spec start(module, keyword) :: {:ok, pid}
  def start(name, options \\ []) do
    caller = self()
    reference = make_ref()
    size = Keyword.get(options, :pool_size, 1)
    pid = spawn(fn -> hold(name, size, caller, reference) end)

    receive do
      {^reference, :ready} -> {:ok, pid}
    end
  end

  @doc "Subscribes the caller."
  @spec subscribe(module, binary, term) :: :ok
  def subscribe(name, topic, metadata \\ nil) do
    {:ok, _} = Registry.register(name, topic, metadata)
    :ok
  end

  @doc "Ends the caller's subscriptions to the topic."
  @spec unsubscribe(module, binary) :: :ok
  def unsubscribe(name, topic), do: Registry.unregister(name, topic)

  @doc "Sends `message` to the subscribers on all nodes."
  @spec broadcast(module, binary, term, module) :: :ok
  def broadcast(name, topic, message, dispatcher \\ @default) do
    broadcast_from(name, :none, topic, message, dispatcher)
  end

  @doc "Sends `message` to the subscribers on all nodes but `from`."
  @spec broadcast_from(module, pid | :none, binary, term, module) :: :ok
  def broadcast_from(name, from, topic, message, dispatcher \\ @default) do
    for pid <- :pg.get_members(@scope, own_group(name)), node(pid) != node() do
      send(pid, {:forward_to_local, topic, message, dispatcher})
    end

    dispatch(name, from, topic, message, dispatcher)
  end

  @doc "Sends `message` to the subscribers on one node."
  @spec direct_broadcast(node, module, binary, term, module) :: :ok
  def direct_broadcast(node, name, topic, message, dispatcher \\ @default) do
    send({own_group(name), node}, {:forward_to_local, topic, message, dispatcher})
    :ok
  end

  @doc "The members of the pool's groups, one list for each."
  @spec members(module) :: [[pid]]
  def members(name) do
    for group <- pool(name), do: :pg.get_members(@scope, group)
  end

  # Holds what is started together: whatever of it ends, all of it does.
  defp hold(name, size, caller, reference) do
    case :pg.start(@scope) do
      {:ok, _} -> :started
      {:error, {:already_started, _}} -> :there_already
    end

    {:ok, _} = Registry.start_link(keys: :duplicate, name: name)
    adapter = Module.concat(name, "Adapter")
    more = if size > 1, do: for(number <- 2..size, do: :"#{adapter}_#{number}"), else: []
    :ok = Registry.put_meta(name, :pool, [adapter | more])
    holder = self()

    for group <- [adapter | more] do
      spawn_link(fn -> enter(name, group, holder) end)

      receive do
        {:entered, ^group} -> :ok
      end
    end

    send(caller, {reference, :ready})
    Process.sleep(:infinity)
  end

  defp enter(name, group, holder) do
    Process.register(self(), group)
    :ok = :pg.join(@scope, group, self())
    send(holder, {:entered, group})
    work(name)
  end

  defp work(name) do
    receive do
      {:forward_to_local, topic, message, dispatcher} ->
        dispatch(name, :none, topic, message, dispatcher)

      _other ->
        :dropped
    end

    work(name)
  end

  defp dispatch(name, from, topic, message, @default) do
    for {pid, _metadata} <- Registry.lookup(name, topic), pid != from, do: send(pid, message)
    :ok
  end

  defp dispatch(name, from, topic, message, dispatcher) do
    dispatcher.dispatch(Registry.lookup(name, topic), from, message)
    :ok
  end

  defp pool(name) do
    {:ok, groups} = Registry.meta(name, :pool)
    groups
  end

  defp own_group(name) do
    groups = pool(name)
    Enum.at(groups, :erlang.phash2(self(), length(groups)))
  end
end

defmodule ElixirSide.PubSubStandIn.Labelled do
  @moduledoc "A dispatcher of the stand-in's tests: says how it was called."

  @doc "Sends `{:labelled, metadata, from, message}` to each subscription."
  @spec dispatch([{pid, term}], pid | :none, term) :: :ok
  def dispatch(entries, from, message) do
    for {pid, metadata} <- entries, do: send(pid, {:labelled, metadata, from, message})
    :ok
  end
end
