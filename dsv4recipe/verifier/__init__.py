"""Floor 4, verifier. The proof: integrity, contract, numbers, real runtime. Reads bundles, writes none."""
