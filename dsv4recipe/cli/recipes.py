"""Floor 6, cli. `recipes`, `recipes show NAME`: the shipped ones."""

from __future__ import annotations

import sys

import click

from dsv4recipe.cli.arguments import json_option
from dsv4recipe.cli.complete import complete_shipped
from dsv4recipe.cli.screen import raw


@click.group("recipes", invoke_without_command=True)
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List the shipped recipes."""
    if ctx.invoked_subcommand is not None:
        return
    from dsv4recipe import load_recipe
    from dsv4recipe.recipe.shipped import shipped_recipes

    found = [load_recipe(name) for name in shipped_recipes()]
    if as_json:
        from dsv4recipe.cli.output import print_json

        rows = [{"name": r.name, "summary": r.summary, "runtime": r.target.runtime} for r in found]
        print_json({"format_version": 1, "recipes": rows})
        return
    for recipe in found:
        click.echo(f"{recipe.name:<18} {recipe.target.runtime:<12} {recipe.summary}")


@command.command("show")
@click.argument("name", shell_complete=complete_shipped)
def show(name: str) -> None:
    """Print the text of a shipped recipe, comments and all."""
    from dsv4recipe.recipe.shipped import recipe_path

    click.echo(recipe_path(name).read_text(encoding="utf-8"), nl=False, file=raw(sys.stdout))
