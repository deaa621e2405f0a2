"""Plausible sources, drawn: what people have done to a checkpoint, one thing after another, and a recipe for it."""
