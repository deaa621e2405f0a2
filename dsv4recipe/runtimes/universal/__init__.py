"""Floor 2, runtimes. universal."""
