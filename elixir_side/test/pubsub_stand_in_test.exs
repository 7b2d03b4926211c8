defmodule ElixirSide.PubSubStandInTest do
  use ExUnit.Case, async: true

  alias ElixirSide.PubSubStandIn
  alias ElixirSide.PubSubStandIn.Labelled

  setup context do
    {:ok, pid} = PubSubStandIn.start(context.test, pool_size: 2)
    on_exit(fn -> Process.exit(pid, :shutdown) end)
    %{name: context.test}
  end

  test "subscribers get what is broadcast, but for the one it is from", %{name: name} do
    PubSubStandIn.subscribe(name, "topic")
    PubSubStandIn.broadcast(name, "topic", :one)
    PubSubStandIn.broadcast_from(name, self(), "topic", :none)
    PubSubStandIn.direct_broadcast(node(), name, "topic", :two)
    assert_receive :one
    assert_receive :two
    PubSubStandIn.unsubscribe(name, "topic")
    PubSubStandIn.broadcast(name, "topic", :three)
    refute_received _
  end

  test "a worker is in each group of the pool, under the group's name", %{name: name} do
    adapter = Module.concat(name, "Adapter")

    assert PubSubStandIn.members(name) ==
             [[Process.whereis(adapter)], [Process.whereis(:"#{adapter}_2")]]
  end

  test "a dispatcher gets the entries with their metadata", %{name: name} do
    PubSubStandIn.subscribe(name, "topic", :metadata)
    PubSubStandIn.broadcast(name, "topic", :one, Labelled)
    assert_receive {:labelled, :metadata, :none, :one}
  end
end
