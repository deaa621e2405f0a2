"""Floor 1, formats. Compiled loops of mxtq."""
