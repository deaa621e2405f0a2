"""Floor 1, recipe. Turns text with positions into a validated, flattened, frozen `Recipe`.

Names are loaded when they are first used: shell completion needs only a few words and must not wait for the whole room.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dsv4recipe.recipe.globs import compile_glob as compile_glob
    from dsv4recipe.recipe.ids import rule_ids as rule_ids
    from dsv4recipe.recipe.load import load_recipe as load_recipe
    from dsv4recipe.recipe.load import parse_recipe as parse_recipe
    from dsv4recipe.recipe.model import Match as Match
    from dsv4recipe.recipe.model import Recipe as Recipe
    from dsv4recipe.recipe.model import Rule as Rule
    from dsv4recipe.recipe.model import Source as Source
    from dsv4recipe.recipe.model import Target as Target
    from dsv4recipe.recipe.shipped import recipe_path as recipe_path
    from dsv4recipe.recipe.shipped import schema_names as schema_names
    from dsv4recipe.recipe.shipped import schema_text as schema_text
    from dsv4recipe.recipe.shipped import shipped_recipes as shipped_recipes
    from dsv4recipe.recipe.show import data_text as data_text
    from dsv4recipe.recipe.show import recipe_data as recipe_data
    from dsv4recipe.recipe.show import show_recipe as show_recipe
    from dsv4recipe.recipe.template import TEMPLATE as TEMPLATE
    from dsv4recipe.recipe.template import init_text as init_text

_HOME = {
    "globs": ("compile_glob",),
    "ids": ("rule_ids",),
    "load": ("load_recipe", "parse_recipe"),
    "model": ("Match", "Recipe", "Rule", "Source", "Target"),
    "shipped": ("recipe_path", "schema_names", "schema_text", "shipped_recipes"),
    "show": ("data_text", "recipe_data", "show_recipe"),
    "template": ("TEMPLATE", "init_text"),
}
_MODULE = {name: module for module, names in _HOME.items() for name in names}


def __getattr__(name: str) -> Any:
    """Loads a public name from its module."""
    if name not in _MODULE:
        raise AttributeError(f"module 'dsv4recipe.recipe' has no attribute {name!r}")
    return getattr(import_module(f"dsv4recipe.recipe.{_MODULE[name]}"), name)
