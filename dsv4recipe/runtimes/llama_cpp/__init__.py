"""Floor 2, runtimes. llama.cpp."""
