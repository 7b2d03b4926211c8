defmodule PublisherTest do
  use ExUnit.Case, async: true

  import ExUnit.CaptureIO

  setup do
    {:ok, publisher} = Publisher.start()
    {:ok, collector} = ElixirSide.Peer.start_collector()
    on_exit(fn -> Enum.each([publisher, collector], &Process.exit(&1, :kill)) end)
    %{publisher: publisher, collector: collector}
  end

  test "notifies every subscriber, as GenEvent does, and says so", context do
    %{publisher: publisher, collector: collector} = context
    :ok = Publisher.subscribe(publisher, ~c"one", collector)
    :ok = Publisher.subscribe(publisher, ~c"two", collector)

    assert capture_io(fn -> Publisher.notify(publisher, "Hello !!") end) ==
             "I have published: 'Hello !!'\n"

    assert ElixirSide.Peer.collected(collector, 2) == [notify: "Hello !!", notify: "Hello !!"]
  end

  test "knows its subscribers by name", %{publisher: publisher, collector: collector} do
    assert Publisher.subscribers(publisher) == %{}
    :ok = Publisher.subscribe(publisher, ~c"one", self())
    :ok = Publisher.subscribe(publisher, ~c"two", collector)
    assert Publisher.subscribers(publisher) == %{~c"one" => self(), ~c"two" => collector}
    :ok = Publisher.unsubscribe(publisher, ~c"one")
    :ok = Publisher.unsubscribe(publisher, ~c"never was")
    assert Publisher.subscribers(publisher) == %{~c"two" => collector}
  end

  test "forgets a subscriber that dies, under each of its names", context do
    %{publisher: publisher, collector: collector} = context
    :ok = Publisher.subscribe(publisher, ~c"one", collector)
    :ok = Publisher.subscribe(publisher, ~c"two", collector)
    :ok = Publisher.subscribe(publisher, ~c"three", self())
    assert map_size(Publisher.subscribers(publisher)) == 3
    kill(collector)
    assert eventually(fn -> Publisher.subscribers(publisher) == %{~c"three" => self()} end)
  end

  test "a name that is given anew is not lost with its first bearer", context do
    %{publisher: publisher, collector: collector} = context
    :ok = Publisher.subscribe(publisher, ~c"one", collector)
    :ok = Publisher.subscribe(publisher, ~c"one", self())
    assert Publisher.subscribers(publisher) == %{~c"one" => self()}
    kill(collector)
    {_subscriptions, monitors} = :sys.get_state(publisher)
    assert Map.keys(monitors) == [~c"one"]
    assert Publisher.subscribers(publisher) == %{~c"one" => self()}
  end

  test "works through a name of :global", %{publisher: publisher, collector: collector} do
    :yes = :global.register_name(~c"manager", publisher)
    manager = :global.whereis_name(~c"manager")
    :ok = Publisher.subscribe(manager, ~c"subs_node2", collector)
    capture_io(fn -> Publisher.notify(manager, "Hello !!") end)
    assert ElixirSide.Peer.collected(collector, 1) == [notify: "Hello !!"]
  end

  defp kill(pid) do
    reference = Process.monitor(pid)
    Process.exit(pid, :kill)
    assert_receive {:DOWN, ^reference, :process, ^pid, :killed}
  end

  defp eventually(condition, tries \\ 500) do
    cond do
      condition.() -> true
      tries == 0 -> false
      true -> Process.sleep(10) && eventually(condition, tries - 1)
    end
  end
end
