defmodule Publisher do
  @moduledoc """
  Passes each message on to every subscriber.

      {:ok, manager} = Publisher.start()
      :global.register_name(~c"manager", manager)

  On any node of the cluster:

      manager = :global.whereis_name(~c"manager")
      {:ok, subscriber} = Subscriber.start()
      Publisher.subscribe(manager, ~c"subs_node2", subscriber)
      Publisher.notify(manager, "Hello !!")

  A subscriber is a `GenEvent` manager.  It is monitored from its subscription on, and forgotten
  when it dies or its node is lost.

  The client functions speak to any publisher, in whatever language it is written.
  """

  use GenServer

  @doc "Starts a publisher, and the `SubscriptionManager` that it keeps its subscribers in."
  @spec start() :: GenServer.on_start()
  def start, do: GenServer.start(__MODULE__, [])

  @doc "Subscribes the event manager `pid` as `name`; returns before the publisher has read it."
  @spec subscribe(GenServer.server(), SubscriptionManager.name(), pid) :: :ok
  def subscribe(publisher, name, pid), do: GenServer.cast(publisher, {:subscribe, name, pid})

  @doc "Ends the subscription of `name`."
  @spec unsubscribe(GenServer.server(), SubscriptionManager.name()) :: :ok
  def unsubscribe(publisher, name), do: GenServer.cast(publisher, {:unsubscribe, name})

  @doc "Sends `message` to every subscriber, and prints that it did."
  @spec notify(GenServer.server(), String.t()) :: :ok
  def notify(publisher, message) do
    GenServer.cast(publisher, {:notify, message})
    IO.puts("I have published: '#{message}'")
  end

  @doc "Returns the map of names and pids."
  @spec subscribers(GenServer.server()) :: %{optional(SubscriptionManager.name()) => pid}
  def subscribers(publisher), do: GenServer.call(publisher, :subscribers)

  # The state is {subscriptions, monitors}: the agent, and the reference of the monitor by name.

  @impl true
  def init([]) do
    {:ok, subscriptions} = SubscriptionManager.start_link()
    {:ok, {subscriptions, %{}}}
  end

  @impl true
  def handle_call(:subscribers, _from, {subscriptions, _monitors} = state) do
    {:reply, SubscriptionManager.get_all(subscriptions), state}
  end

  @impl true
  def handle_cast({:subscribe, name, pid}, {subscriptions, monitors}) do
    monitors = demonitor(monitors, name)
    SubscriptionManager.put(subscriptions, name, pid)
    {:noreply, {subscriptions, Map.put(monitors, name, Process.monitor(pid))}}
  end

  def handle_cast({:unsubscribe, name}, {subscriptions, monitors}) do
    SubscriptionManager.delete(subscriptions, name)
    {:noreply, {subscriptions, demonitor(monitors, name)}}
  end

  def handle_cast({:notify, message}, {subscriptions, _monitors} = state) do
    for {_name, pid} <- SubscriptionManager.get_all(subscriptions) do
      # apply/3, for a call would be warned of as deprecated at each compilation; see Subscriber.
      apply(GenEvent, :notify, [pid, message])
    end

    {:noreply, state}
  end

  @impl true
  def handle_info({:DOWN, reference, :process, _pid, _reason}, {subscriptions, monitors}) do
    {gone, left} = Enum.split_with(monitors, fn {_name, held} -> held == reference end)
    for {name, _reference} <- gone, do: SubscriptionManager.delete(subscriptions, name)
    {:noreply, {subscriptions, Map.new(left)}}
  end

  def handle_info(_other, state), do: {:noreply, state}

  defp demonitor(monitors, name) do
    {reference, left} = Map.pop(monitors, name)
    if reference, do: Process.demonitor(reference, [:flush])
    left
  end
end
