defmodule ElixirSide.PeerTest do
  use ExUnit.Case, async: true

  alias ElixirSide.Peer

  test "the echo answers pairs and lives through the rest" do
    {:ok, echo} = Peer.start_echo()
    send(echo, :rubbish)
    send(echo, {self(), {:a, "term"}})
    assert_receive {:a, "term"}
  end

  test "the forwarder keeps the order" do
    {:ok, forwarder} = Peer.start_forwarder(self())
    for n <- 1..100, do: send(forwarder, n)
    for n <- 1..100, do: assert_receive(m when m == n)
  end

  test "the collector waits for its count, or for the time to be up" do
    {:ok, collector} = Peer.start_collector(trap_exit: true)
    assert Peer.collected(collector) == []
    send(collector, :one)
    assert Peer.collected(collector, 2, 20) == [:one]
    waiting = Task.async(fn -> Peer.collected(collector, 2) end)
    Process.exit(collector, :two)
    assert [:one, {:EXIT, _pid, :two}] = Task.await(waiting)
  end

  test "the collector runs a function as itself" do
    {:ok, collector} = Peer.start_collector()
    assert Peer.run(collector, fn -> self() end) == collector
  end
end
