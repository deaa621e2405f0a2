"""Floor 1, formats. The tensor types of GGUF files."""
