"""Floor 4, calibration. Recording what goes into a model's matrices, and encoding by it."""
