"""Floor 6, cli. One file per command: parse → call → render. No logic."""
