"""Floor 4, guidance. Encoding by what guides a plan: an importance file, or an activation record."""
