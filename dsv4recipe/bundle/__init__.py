"""Floor 3, bundle. Describes finished bundles: manifest, files, tensors by header. Reads files, writes none."""
