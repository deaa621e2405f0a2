"""Floor 6, cli. `init FILE`: a commented recipe to start from, with the editor's modeline."""

from __future__ import annotations

from pathlib import Path

import click

from dsv4recipe.cli.arguments import PathType, force_option, json_option


@click.command("init")
@click.argument("file", type=PathType())
@force_option
@json_option
def command(file: Path, force: bool, as_json: bool) -> None:
    """Write a new recipe to FILE; an existing file is only replaced with --force."""
    from dsv4recipe.files.outputs import RECIPE, write_output
    from dsv4recipe.recipe.template import init_text

    write_output(file, init_text(file.name.split(".")[0]), RECIPE, force)
    if as_json:
        from dsv4recipe.cli.output import print_json

        print_json({"format_version": 1, "file": str(file)})
    else:
        click.echo(f"wrote {file}; next: dsv4recipe check {file}")
