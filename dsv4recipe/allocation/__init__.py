"""Floor 3, allocation. Finds the formats that spend a byte budget best, and writes them as an ordinary recipe."""
