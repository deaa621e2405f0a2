"""Floor 4, answers. A bundle is asked questions through its runtime's own server, in the runtime's own environment."""
