"""Floor 3, plan. Makes a per-tensor plan, exact to the byte, from recipe, checkpoint and target. This module is
pure."""
