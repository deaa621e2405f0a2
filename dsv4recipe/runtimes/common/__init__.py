"""Floor 2, runtimes. What several runtimes share: the words that describe one, name maps, side files, laws. This module
is pure."""
