"""Floor 4, verifier. Compares the numbers that a bundle stores with the source that it was made from."""
