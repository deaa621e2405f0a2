"""Floor 3, allocation. A byte budget → the formats that spend it best, as an ordinary recipe."""
