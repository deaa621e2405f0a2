"""Floor 1, formats. MXTQ: rotated weights, one norm per row, a codebook."""
