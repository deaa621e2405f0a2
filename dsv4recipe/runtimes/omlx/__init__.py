"""Floor 2, runtimes. oMLX."""
