"""Floor 2, runtimes (child side). Says how the probe loads a bundle in mlx-lm: by what every adapter inherits."""

from __future__ import annotations

from dsv4recipe.verifier.runtime.probe.adapter import Adapter

ADAPTERS = {"mlx-lm": Adapter}
