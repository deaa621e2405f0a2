"""Floor 4, guidance. Encodes pieces with the importance file or activation record that guides a plan."""
