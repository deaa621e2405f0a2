"""Floor 3, advice. Whether a plan is a good idea: does it fit a machine, and what an expert would say of it. This
module is pure."""
