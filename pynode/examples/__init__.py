"""Programs to run, read and copy: ``python -m pynode.examples.counter``.

``counter``
    a GenServer that Elixir calls
``echo``
    a bare process, with a mailbox of its own
``hello``
    a function that other nodes run here, by ``Node.spawn_link``
``calling``
    Python as the caller: functions, servers, monitors and names of an Elixir node
``subscriber``
    an event handler, subscribed to Elixir's Publisher
``model``
    a server that computes for long, in a thread of its own
``threaded``
    a node for a program that has no event loop
``rabbitmq``
    a RabbitMQ broker from the inside: queues, connections, and when it goes down
``test_pubsub_cluster``
    tests of a cluster of Elixir and Python, with :mod:`pynode.testing`; the guide is
    ``pynode/guides/testing.md``

They use the cookie that ``iex --sname`` uses when it is told none, ``~/.erlang.cookie``.
"""
