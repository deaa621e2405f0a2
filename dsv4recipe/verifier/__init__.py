"""Floor 4, verifier. Proves bundles: integrity, contract, numbers, real runtime. Reads bundles, writes none."""
