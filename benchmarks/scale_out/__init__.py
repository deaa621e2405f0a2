"""What a cluster brings: a model of the cost, checked against shards measured here and against the real scheduler."""
