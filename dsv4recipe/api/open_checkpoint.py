"""Floor 5, api. `open_checkpoint` opens a folder or a repository on the hub as a checkpoint, from its headers."""

from __future__ import annotations

from dsv4recipe.checkpoint.graph import open_checkpoint

__all__ = ["open_checkpoint"]
