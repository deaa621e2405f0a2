"""Floor 4, answers. Asks a bundle questions through its runtime's own server, in the runtime's own environment."""
