"""Floor 1, formats. Copies of FP8 source bits."""
