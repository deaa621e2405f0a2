"""Floor 4, builder. Plan → tasks → shards → bundle: the only room that writes a bundle."""
