"""Floor 3, bundle. What a finished bundle is: manifest, files, tensors by header. Reads files, writes none."""
