"""Floor 6, cli. `check RECIPE…` validates recipes and reports all their errors at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dsv4recipe.cli.arguments import json_option
from dsv4recipe.cli.complete import complete_recipe

if TYPE_CHECKING:
    from dsv4recipe.errors import Diagnostic
    from dsv4recipe.recipe.model import Recipe


@click.command("check")
@click.argument("recipes", nargs=-1, required=True, shell_complete=complete_recipe)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "sarif"]),
    default="text",
    help="SARIF is what code hosts show beside the lines of a pull request.",
)
@json_option
def command(recipes: tuple[str, ...], form: str, as_json: bool) -> int:
    """Validate each of RECIPES (files or shipped names) against the schema and the rules of the recipe language."""
    from dsv4recipe import RecipeError, load_recipe

    found: list[Recipe] = []
    wrong: list[Diagnostic] = []
    for recipe in recipes:
        try:
            found.append(load_recipe(recipe))
        except RecipeError as error:
            wrong += error.diagnostics
    if form == "sarif":
        from dsv4recipe.cli.output import print_json
        from dsv4recipe.cli.sarif import sarif

        print_json(sarif(wrong))
        return 1 if wrong else 0
    if wrong:
        raise RecipeError.of(wrong)
    if as_json:
        from dsv4recipe.cli.output import print_json

        rows = [{"name": each.name, "rules": [rule.id for rule in each.rules]} for each in found]
        print_json({"format_version": 1, "ok": True, **(rows[0] if len(rows) == 1 else {"recipes": rows})})
    else:
        for each in found:
            click.echo(f"{each.name}: {len(each.rules)} rules for {each.target.runtime}; no errors")
    return 0
