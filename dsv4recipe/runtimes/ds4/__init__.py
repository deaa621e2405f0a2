"""Floor 2, runtimes. ds4."""
