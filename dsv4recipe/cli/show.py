"""Floor 5, cli. `show RECIPE`: the flattened recipe, each line with where it came from."""

from __future__ import annotations

import click

from dsv4recipe.cli.arguments import json_option, recipe_argument


@click.command("show")
@recipe_argument
@json_option
def command(recipe: str, as_json: bool) -> None:
    """Print RECIPE flattened: parents resolved, defaults spelled out."""
    from dsv4recipe import load_recipe
    from dsv4recipe.recipe.show import recipe_data, show_recipe

    found = load_recipe(recipe)
    if as_json:
        from dsv4recipe.cli.output import print_json

        print_json(recipe_data(found))
    else:
        click.echo(show_recipe(found), nl=False)
