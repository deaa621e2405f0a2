"""Floor 5, api. The public functions."""
