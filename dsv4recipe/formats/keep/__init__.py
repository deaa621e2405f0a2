"""Floor 1, formats. Plain copies and casts."""
