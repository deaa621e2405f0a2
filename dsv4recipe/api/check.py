"""Floor 5, api. `check` returns everything that is wrong with a recipe, as data."""

from __future__ import annotations

from pathlib import Path

from dsv4recipe.errors import Diagnostic, RecipeError
from dsv4recipe.recipe.load import load_recipe


def check(recipe: str | Path) -> tuple[Diagnostic, ...]:
    """Returns every problem of a recipe (a file or a shipped name), each with its code, place and hint; () for a valid
    one.

    Only the recipe is read. `make_plan` also finds what a runtime or a checkpoint does not allow.
    """
    try:
        load_recipe(str(recipe))
    except RecipeError as error:
        return tuple(error.diagnostics)
    return ()
