"""Floor 0, catalogue. What every code of an error, warning or advice means, as data: one YAML file a page."""
