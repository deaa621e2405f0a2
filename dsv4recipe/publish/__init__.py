"""Floor 4, publish. A proven bundle to the hub in one commit, and the hub's own tree against it afterwards."""
