"""Floor 5, cli. Options and arguments that several commands share, each said once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from dsv4recipe.cli.complete import complete_recipe

F = TypeVar("F", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
recipe_argument = click.argument("recipe", shell_complete=complete_recipe)
importance_option = click.option(
    "--importance",
    "importance_file",
    type=click.Path(path_type=Path),
    help="An imatrix (.dat or GGUF), for formats with `importance: file`.",
)
source_type = click.Path(path_type=str)
"""A folder, or a repository of the hub: a Path would make hf:/ of hf://."""
SOURCE_HELP = "The checkpoint: a folder, or hf://org/repo@revision."
source_option = click.option("--source", "source", required=True, type=source_type, help=SOURCE_HELP)


def scratch_options(command: F) -> F:
    """--scratch and --scratch-dir, where the weights of a source on the hub are read."""
    size = click.option(
        "--scratch",
        metavar="SIZE",
        callback=_size,
        help="The most disk that downloads take meanwhile, where SRC is on the hub (default: 20GiB).",
    )
    folder = click.option(
        "--scratch-dir",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        help="The folder for them (default: beside the bundle).",
    )
    return size(folder(command))


def _size(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Bytes of a size with its unit."""
    from dsv4recipe.units import parse_size

    try:
        return None if value is None else parse_size(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None
