defmodule SubscriptionManager do
  @moduledoc """
  Who is subscribed: an `Agent` over a map from a subscriber's name to its pid.

  The agent may live on another node, and need not be written in Elixir.  A closure cannot be
  run there, so every function here asks with `{module, function, arguments}` or with a capture
  of a named function.
  """

  @typedoc "The name of a subscriber, by custom a charlist such as `~c\"subs_node2\"`."
  @type name :: term

  @doc "Starts an agent with no subscriptions."
  @spec start() :: Agent.on_start()
  def start, do: Agent.start(Map, :new, [])

  @doc "Like `start/0`, linked to the caller."
  @spec start_link() :: Agent.on_start()
  def start_link, do: Agent.start_link(Map, :new, [])

  @doc "Returns the whole map."
  @spec get_all(Agent.agent()) :: %{optional(name) => pid}
  def get_all(agent), do: Agent.get(agent, &Function.identity/1)

  @doc "Returns the pid subscribed as `name`, or `nil`."
  @spec get(Agent.agent(), name) :: pid | nil
  def get(agent, name), do: Agent.get(agent, Map, :get, [name])

  @doc "Subscribes `pid` as `name`, in the place of whoever had that name."
  @spec put(Agent.agent(), name, pid) :: :ok
  def put(agent, name, pid), do: Agent.update(agent, Map, :put, [name, pid])

  @doc "Forgets `name`."
  @spec delete(Agent.agent(), name) :: :ok
  def delete(agent, name), do: Agent.update(agent, Map, :delete, [name])
end
