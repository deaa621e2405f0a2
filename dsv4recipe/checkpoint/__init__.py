"""Floor 1, checkpoint. Safetensors headers, source folders, families as tables, the tensor graph."""
