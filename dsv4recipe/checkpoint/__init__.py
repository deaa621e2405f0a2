"""Floor 1, checkpoint. Reads source folders and describes families as tables; the result is the tensor graph."""
