"""Floor 3, plan. Recipe + checkpoint + target → a per-tensor plan, to the byte. This module is pure."""
