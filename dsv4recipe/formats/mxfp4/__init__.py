"""Floor 1, formats. Copies of FP4 source bits."""
