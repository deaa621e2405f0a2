"""Floor 4, verifier. Checks the contract: what each runtime would make of a bundle, from its headers and JSON alone."""
