"""Floor 2, runtimes. Rapid-MLX."""
