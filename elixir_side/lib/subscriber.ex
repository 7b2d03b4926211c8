defmodule Subscriber do
  @moduledoc """
  An event manager that prints what it receives: a `GenEvent` with this module as its handler.

      {:ok, subscriber} = Subscriber.start()
      GenEvent.notify(subscriber, "Hello !!")
      # I have received: 'Hello !!'

  `GenEvent` is deprecated in Elixir, and works in every release up to now.  Its messages are
  what Publishers and Subscribers of every language speak, so it stays.  A plain `use GenEvent`,
  or a plain call, prints a warning at each compilation; hence `apply/3`, and all the callbacks
  written out.
  """

  @doc "Starts an event manager with this module as its handler; the caller is not linked."
  @spec start() :: {:ok, pid}
  def start do
    {:ok, manager} = apply(GenEvent, :start, [[]])
    :ok = apply(GenEvent, :add_handler, [manager, __MODULE__, []])
    {:ok, manager}
  end

  @doc false
  def init(arguments), do: {:ok, arguments}

  @doc false
  def handle_event(message, state) do
    IO.puts("I have received: '#{message}'")
    {:ok, state}
  end

  @doc false
  def handle_call(_request, state), do: {:ok, {:error, :unknown_call}, state}

  @doc false
  def handle_info(_message, state), do: {:ok, state}

  @doc false
  def terminate(_reason, _state), do: :ok

  @doc false
  def code_change(_old_version, state, _extra), do: {:ok, state}
end
