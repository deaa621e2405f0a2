"""Floor 1, headers. What stands in front of the weights of a file, read strictly; safe paths and strict JSON."""
