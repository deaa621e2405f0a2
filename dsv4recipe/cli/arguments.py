"""Floor 5, cli. Options and arguments that several commands share, each said once."""

from __future__ import annotations

from pathlib import Path

import click

from dsv4recipe.cli.complete import complete_recipe

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
recipe_argument = click.argument("recipe", shell_complete=complete_recipe)
importance_option = click.option(
    "--importance",
    "importance_file",
    type=click.Path(path_type=Path),
    help="An imatrix (.dat or GGUF), for formats with `importance: file`.",
)
source_option = click.option(
    "--source", "source", required=True, type=click.Path(path_type=Path), help="The checkpoint folder."
)
