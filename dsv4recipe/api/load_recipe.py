"""Floor 5, api. `load_recipe` loads a recipe from a file or by its shipped name."""

from __future__ import annotations

from dsv4recipe.recipe.load import load_recipe

__all__ = ["load_recipe"]
