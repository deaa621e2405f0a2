"""Floor 1, records. Holds activation records: the inputs of a model's matrices while it read a text."""
