"""Floor 5, api. `load_recipe`: a file or a shipped name → a recipe."""

from __future__ import annotations

from dsv4recipe.recipe.load import load_recipe

__all__ = ["load_recipe"]
