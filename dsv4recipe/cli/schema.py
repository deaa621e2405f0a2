"""Floor 6, cli. `schema NAME` prints a JSON schema, for editors."""

from __future__ import annotations

import sys

import click

from dsv4recipe.cli.arguments import json_option
from dsv4recipe.cli.screen import raw
from dsv4recipe.recipe.shipped import schema_names


@click.command("schema")
@click.argument("name", default="recipe", type=click.Choice(schema_names()))
@json_option
def command(name: str, as_json: bool) -> None:  # noqa: ARG001 - a schema is JSON either way
    """Print a JSON schema (draft-07): of recipes, of priors for `allocate`, or of the lines of `build --json`."""
    from dsv4recipe.recipe.shipped import schema_text

    click.echo(schema_text(name), nl=False, file=raw(sys.stdout))
