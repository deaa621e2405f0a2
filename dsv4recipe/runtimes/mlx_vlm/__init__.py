"""Floor 2, runtimes. mlx-vlm."""
