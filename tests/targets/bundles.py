"""What tests of targets share: their names, the recipes of MLX, another runtime for a recipe."""

from __future__ import annotations

from dataclasses import replace

from dsv4recipe import load_recipe
from dsv4recipe.recipe.model import Recipe
from dsv4recipe.runtimes import targets
from tests.recipes import UNGUIDED

MLX_TARGETS = sorted({target.name for target in targets() if target.container == "safetensors"})
"""Every runtime of shards, whatever family it runs."""
MLX_RECIPES = [name for name in UNGUIDED if load_recipe(name).target.runtime in MLX_TARGETS]


def moved(name: str, runtime: str) -> Recipe:
    """A shipped recipe with `target.runtime` changed."""
    recipe = load_recipe(name)
    return replace(recipe, target=replace(recipe.target, runtime=runtime))
