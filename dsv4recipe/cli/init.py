"""Floor 6, cli. `init FILE`: a commented recipe to start from, with the editor's modeline."""

from __future__ import annotations

from pathlib import Path

import click

from dsv4recipe.cli.arguments import json_option
from dsv4recipe.errors import RecipeError, Where


@click.command("init")
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def command(file: Path, as_json: bool) -> None:
    """Write a new recipe to FILE; an existing file is never overwritten."""
    from dsv4recipe.recipe.template import init_text

    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(init_text(file.name.split(".")[0]))
    except FileExistsError:
        raise RecipeError("U003", "the file exists", Where(str(file)), "choose another name") from None
    if as_json:
        from dsv4recipe.cli.output import print_json

        print_json({"format_version": 1, "file": str(file)})
    else:
        click.echo(f"wrote {file}; next: dsv4recipe check {file}")
