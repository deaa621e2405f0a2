"""Floor 4, builder. Turns a plan into tasks, shards and a bundle. Only this room writes bundles."""
