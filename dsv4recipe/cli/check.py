"""Floor 6, cli. `check RECIPE`: validates a recipe; says everything that is wrong with it at once."""

from __future__ import annotations

import click

from dsv4recipe.cli.arguments import json_option, recipe_argument


@click.command("check")
@recipe_argument
@json_option
def command(recipe: str, as_json: bool) -> None:
    """Validate RECIPE (a file or a shipped name) against the schema and the laws of the language."""
    from dsv4recipe import load_recipe

    found = load_recipe(recipe)
    if as_json:
        from dsv4recipe.cli.output import print_json

        print_json({"format_version": 1, "ok": True, "name": found.name, "rules": [rule.id for rule in found.rules]})
    else:
        click.echo(f"{found.name}: {len(found.rules)} rules for {found.target.runtime}; no errors")
