"""Floor 2, runtimes. vMLX and jang."""
