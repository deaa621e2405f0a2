"""Floor 4, calibration. Recording what goes into a model's matrices while it reads a text."""
