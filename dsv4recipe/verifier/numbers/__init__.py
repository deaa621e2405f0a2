"""Floor 4, verifier. The numbers: what a bundle stores, held against the source that it was made from."""
