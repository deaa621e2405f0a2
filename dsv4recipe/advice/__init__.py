"""Floor 3, advice. Says whether a plan is a good idea: whether it fits a machine, and what an expert would object to.
This module is pure."""
