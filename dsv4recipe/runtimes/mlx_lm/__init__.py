"""Floor 2, runtimes. mlx-lm."""
