"""What every node runs: net_kernel, global, rex, erpc, the logger's proxy, the group leader."""
