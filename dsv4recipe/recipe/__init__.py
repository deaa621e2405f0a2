"""Floor 1, recipe. Text with positions → validated, flattened, frozen `Recipe`."""

from dsv4recipe.recipe.globs import compile_glob
from dsv4recipe.recipe.load import load_recipe, parse_recipe, rule_ids
from dsv4recipe.recipe.model import Match, Recipe, Rule, Source, Target
from dsv4recipe.recipe.shipped import recipe_path, schema_names, schema_text, shipped_recipes
from dsv4recipe.recipe.show import data_text, recipe_data, show_recipe
from dsv4recipe.recipe.template import TEMPLATE, init_text

__all__ = [
    "TEMPLATE", "Match", "Recipe", "Rule", "Source", "Target", "compile_glob", "data_text", "init_text", "load_recipe",
    "parse_recipe", "recipe_data", "recipe_path", "rule_ids", "schema_names", "schema_text", "shipped_recipes",
    "show_recipe",
]  # fmt: skip
