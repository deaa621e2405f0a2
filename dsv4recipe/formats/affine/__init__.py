"""Floor 1, formats. MLX affine quantization: codes with a scale and a bias per group of columns."""
