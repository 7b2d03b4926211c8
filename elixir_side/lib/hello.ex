defmodule Hello do
  @moduledoc """
  What one node has another one run.  The output goes to the group leader of whoever spawns it:

      iex(node2@myhost)> Node.spawn_link(:"node1@myhost", fn -> Hello.world end)
      hello world

  `pynode.examples.hello` is the same module in Python.
  """

  @doc "Prints a line."
  @spec world() :: :ok
  def world, do: IO.puts("hello world")
end
