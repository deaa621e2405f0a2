"""Floor 4, calibration. Records the inputs of a model's matrices while it reads a text."""
