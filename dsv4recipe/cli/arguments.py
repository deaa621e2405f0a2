"""Floor 5, cli. Options and arguments that several commands share, each said once."""

from __future__ import annotations

from pathlib import Path

import click

from dsv4recipe.cli.output import json_option

recipe_argument = click.argument("recipe")
source_option = click.option(
    "--source", "source", required=True, type=click.Path(path_type=Path), help="The checkpoint folder."
)

__all__ = ["json_option", "recipe_argument", "source_option"]
