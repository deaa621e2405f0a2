"""Floor 1, headers. Reads the headers of files strictly, and checks paths and JSON from unknown sources."""
