"""Floor 4, verifier. The runtime: the installed one loads and runs a bundle in a process of its own."""
