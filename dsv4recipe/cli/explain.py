"""Floor 6, cli. `explain RECIPE NAME --source SRC` shows which rule won, why others lost, and all names of a tensor."""

from __future__ import annotations

from pathlib import Path

import click

from dsv4recipe.cli.arguments import (
    importance_option,
    json_option,
    layout_option,
    recipe_argument,
    release_option,
)


@click.command("explain")
@recipe_argument
@click.argument("name")
@layout_option
@release_option
@importance_option
@json_option
def command(
    recipe: str, name: str, source: str | None, release: str | None, importance_file: Path | None, as_json: bool
) -> None:
    """Say why RECIPE turns the tensor NAME into what it becomes.

    NAME is a source tensor, a module path or a name on disk, in any runtime's dialect.
    """
    from dsv4recipe import explain
    from dsv4recipe.cli.explain_view import print_explanation
    from dsv4recipe.cli.output import print_json

    found = explain(recipe, name, checkpoint=source, release=release, importance=importance_file)
    if as_json:
        print_json(found.data())
    else:
        print_explanation(found)
