"""Faults on purpose: kills, failing calls, power cuts, damage. Each module is also a command with larger numbers."""
