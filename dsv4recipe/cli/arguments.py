"""Floor 5, cli. Options and arguments that several commands share, each said once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from dsv4recipe.cli.complete import complete_recipe


class Size(click.ParamType[int]):
    """Bytes with a unit: 120GiB, 120GB, 135346422876B."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from dsv4recipe.units import parse_size

        try:
            return value if isinstance(value, int) else parse_size(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


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
layout_option = click.option("--source", "source", type=source_type, help=SOURCE_HELP + " Default: --release.")
"""For commands that read headers only: they can do without a checkpoint."""
release_option = click.option(
    "--release",
    metavar="NAME",
    help="Instead of a checkpoint, the layout of a release: v4-flash (default: the one that the recipe pins).",
)
base_model_option = click.option(
    "--base-model",
    metavar="ORG/NAME[@COMMIT]",
    help="Which repository SRC is, for card and manifest, where it does not tell by itself.",
)
source_option = click.option("--source", "source", required=True, type=source_type, help=SOURCE_HELP)


def scratch_options(command: F) -> F:
    """--scratch and --scratch-dir, where the weights of a source on the hub are read."""
    size = click.option(
        "--scratch",
        type=Size(),
        help="The most disk that downloads take meanwhile, where SRC is on the hub (default: 20GiB).",
    )
    folder = click.option(
        "--scratch-dir",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        help="The folder for them (default: beside the bundle).",
    )
    return size(folder(command))
