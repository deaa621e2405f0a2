"""Floor 5, api. `open_checkpoint`: a folder or a repository of the hub → a checkpoint, from its headers."""

from __future__ import annotations

from dsv4recipe.checkpoint.graph import open_checkpoint

__all__ = ["open_checkpoint"]
