"""Floor 4, verifier. Lets the installed runtime load and run a bundle in a process of its own."""
