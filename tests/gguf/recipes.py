"""GGUF recipes for tests: a shipped one as text, and for llama.cpp, which takes a model of any size."""

from __future__ import annotations

from dataclasses import replace

from dsv4recipe import load_recipe
from dsv4recipe.recipe.model import Recipe
from dsv4recipe.recipe.shipped import recipe_path


def text_of(name: str) -> str:
    return recipe_path(name).read_text(encoding="utf-8")


def for_llama_cpp(name: str) -> Recipe:
    """A recipe of ds4 with the same rules for llama.cpp."""
    recipe = load_recipe(name)
    return replace(recipe, target=replace(recipe.target, runtime="llama.cpp", backends=()))
