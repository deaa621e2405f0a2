"""Floor 6, cli. `show RECIPE [--rule ID]` prints the flattened recipe and where each line came from."""

from __future__ import annotations

import sys
from dataclasses import replace

import click

from dsv4recipe.cli.arguments import json_option, recipe_argument
from dsv4recipe.cli.complete import complete_rule
from dsv4recipe.cli.screen import raw
from dsv4recipe.errors import RecipeError, Where, did_you_mean


@click.command("show")
@recipe_argument
@click.option("--rule", metavar="ID", shell_complete=complete_rule, help="Print only this rule.")
@json_option
def command(recipe: str, rule: str | None, as_json: bool) -> None:
    """Print RECIPE flattened, with parents resolved and defaults spelled out."""
    from dsv4recipe import load_recipe
    from dsv4recipe.recipe.show import recipe_data, show_recipe

    found = load_recipe(recipe)
    if rule is not None:
        chosen = tuple(each for each in found.rules if each.id == rule)
        if not chosen:
            hint = did_you_mean(rule, (each.id for each in found.rules))
            raise RecipeError("U013", f'no rule is called "{rule[:80]}"', Where(recipe), hint)
        found = replace(found, rules=chosen)
    data = recipe_data(found)
    if as_json:
        from dsv4recipe.cli.output import print_json

        print_json(data if rule is None else data["rules"][0])
    else:
        text = show_recipe(found)
        click.echo(text if rule is None else text.partition("\nrules:\n")[2], nl=False, file=raw(sys.stdout))
