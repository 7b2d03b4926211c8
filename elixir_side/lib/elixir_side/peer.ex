defmodule ElixirSide.Peer do
  @moduledoc """
  Small processes for the other end of a test.

  Each `start_` function returns `{:ok, pid}`; the caller is not linked, so that what happens in
  a test's own process does not reach the peer.
  """

  @doc "Answers every `{pid, term}` with `term`, and drops everything else."
  @spec start_echo() :: {:ok, pid}
  def start_echo, do: {:ok, spawn(__MODULE__, :echo, [])}

  @doc "Sends everything that it receives on to `pid`, in order."
  @spec start_forwarder(pid) :: {:ok, pid}
  def start_forwarder(pid), do: {:ok, spawn(__MODULE__, :forward, [pid])}

  @doc """
  Keeps everything that it receives, for `collected/3`.

  With `trap_exit: true`, exit signals too, as `{:EXIT, pid, reason}`.
  """
  @spec start_collector(keyword) :: {:ok, pid}
  def start_collector(options \\ []), do: {:ok, spawn(__MODULE__, :collect, [options])}

  @doc """
  Returns what `collector` received, oldest first, once there are `count` messages.

  After `timeout` milliseconds it returns what there is.
  """
  @spec collected(pid, non_neg_integer, timeout) :: [term]
  def collected(collector, count \\ 0, timeout \\ 5_000) do
    reference = make_ref()
    send(collector, {__MODULE__, :collected, self(), reference, count, timeout})

    receive do
      {^reference, messages} -> messages
    end
  end

  @doc """
  Sends `message` `count` times to `echo`, then waits until it has read them all.

  Returns microseconds.  `echo` is `start_echo/0`'s, or behaves like it.
  """
  @spec flood(pid, term, non_neg_integer) :: non_neg_integer
  def flood(echo, message, count) do
    {microseconds, :ok} = :timer.tc(__MODULE__, :flood_now, [echo, message, count])
    microseconds
  end

  @doc false
  def flood_now(echo, message, count) do
    flood_loop(echo, message, count)
    reference = make_ref()
    send(echo, {self(), reference})

    receive do
      ^reference -> :ok
    end
  end

  defp flood_loop(_echo, _message, 0), do: :ok

  defp flood_loop(echo, message, count) do
    send(echo, message)
    flood_loop(echo, message, count - 1)
  end

  @doc "Makes `collector` run `function`, as its own process, and returns the result."
  @spec run(pid, function) :: term
  def run(collector, function) do
    reference = make_ref()
    send(collector, {__MODULE__, :run, self(), reference, function})

    receive do
      {^reference, result} -> result
    end
  end

  @doc false
  def echo do
    receive do
      {pid, term} when is_pid(pid) -> send(pid, term)
      _other -> :dropped
    end

    echo()
  end

  @doc false
  def forward(pid) do
    receive do
      message -> send(pid, message)
    end

    forward(pid)
  end

  @doc false
  def collect(options) do
    Process.flag(:trap_exit, Keyword.get(options, :trap_exit, false))
    collect_loop([], nil)
  end

  # `messages` is newest first; `waiting` is {pid, reference, count, timer} or nil.
  defp collect_loop(messages, {pid, reference, count, timer}) when length(messages) >= count do
    Process.cancel_timer(timer)
    send(pid, {reference, Enum.reverse(messages)})
    collect_loop(messages, nil)
  end

  defp collect_loop(messages, waiting) do
    receive do
      {__MODULE__, :collected, pid, reference, count, timeout} ->
        timer = Process.send_after(self(), {__MODULE__, :late, reference}, timeout)
        collect_loop(messages, {pid, reference, count, timer})

      {__MODULE__, :late, reference} ->
        collect_loop(messages, answer_late(messages, waiting, reference))

      {__MODULE__, :run, pid, reference, function} ->
        send(pid, {reference, function.()})
        collect_loop(messages, waiting)

      message ->
        collect_loop([message | messages], waiting)
    end
  end

  defp answer_late(messages, {pid, reference, _count, _timer}, reference) do
    send(pid, {reference, Enum.reverse(messages)})
    nil
  end

  defp answer_late(_messages, waiting, _reference), do: waiting
end
