defmodule SubscriberTest do
  use ExUnit.Case, async: true

  import ExUnit.CaptureIO

  test "prints what it receives" do
    printed =
      capture_io(fn ->
        {:ok, subscriber} = Subscriber.start()
        :ok = apply(GenEvent, :sync_notify, [subscriber, "Hello !!"])
        :ok = apply(GenEvent, :stop, [subscriber])
      end)

    assert printed == "I have received: 'Hello !!'\n"
  end

  test "is its own handler, and survives what is not an event" do
    {:ok, subscriber} = Subscriber.start()
    assert apply(GenEvent, :which_handlers, [subscriber]) == [Subscriber]
    send(subscriber, :something)
    assert apply(GenEvent, :call, [subscriber, Subscriber, :what?]) == {:error, :unknown_call}
    assert apply(GenEvent, :which_handlers, [subscriber]) == [Subscriber]
    apply(GenEvent, :stop, [subscriber])
    refute Process.alive?(subscriber)
  end
end
