"""Floor 3, allocate. A byte budget → the formats that spend it best, as an ordinary recipe."""
