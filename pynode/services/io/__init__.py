"""The I/O protocol: group leaders, and the requests that their clients make."""
