defmodule SubscriptionManagerTest do
  use ExUnit.Case, async: true

  test "start is not linked, start_link is" do
    {:ok, agent} = SubscriptionManager.start()
    {:links, links} = Process.info(self(), :links)
    refute agent in links
    {:ok, agent} = SubscriptionManager.start_link()
    {:links, links} = Process.info(self(), :links)
    assert agent in links
  end

  test "puts, gets and deletes" do
    {:ok, agent} = SubscriptionManager.start_link()
    assert SubscriptionManager.get_all(agent) == %{}
    assert SubscriptionManager.get(agent, ~c"one") == nil
    assert SubscriptionManager.put(agent, ~c"one", self()) == :ok
    assert SubscriptionManager.get(agent, ~c"one") == self()
    assert SubscriptionManager.get_all(agent) == %{~c"one" => self()}
    assert SubscriptionManager.delete(agent, ~c"one") == :ok
    assert SubscriptionManager.delete(agent, ~c"one") == :ok
    assert SubscriptionManager.get_all(agent) == %{}
  end

  # What an agent in another language has to understand.
  test "asks with a named function and arguments, never with a closure" do
    {:ok, agent} = ElixirSide.Peer.start_collector()

    calls = [
      fn -> SubscriptionManager.get_all(agent) end,
      fn -> SubscriptionManager.get(agent, ~c"one") end,
      fn -> SubscriptionManager.put(agent, ~c"one", agent) end,
      fn -> SubscriptionManager.delete(agent, ~c"one") end
    ]

    for call <- calls, do: spawn(call)
    requests = for {:"$gen_call", _, request} <- ElixirSide.Peer.collected(agent, 4), do: request

    assert Enum.sort(requests) ==
             Enum.sort([
               {:get, &Function.identity/1},
               {:get, {Map, :get, [~c"one"]}},
               {:update, {Map, :put, [~c"one", agent]}},
               {:update, {Map, :delete, [~c"one"]}}
             ])

    Process.exit(agent, :kill)
  end
end
