"""Floor 1, records. Activation records: what went into the matrices of a model while it read a text."""
