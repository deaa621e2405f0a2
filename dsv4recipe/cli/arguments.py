"""Floor 6, cli. Options and arguments that several commands share, each said once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from dsv4recipe.allocation.machine import CONTEXT
from dsv4recipe.cli.complete import complete_recipe
from dsv4recipe.paths import as_path, expanded

F = TypeVar("F", bound=Callable[..., Any])


class Size(click.ParamType[int]):
    """Bytes with a unit: 120GiB, 120GB, 135346422876B."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from dsv4recipe.units import parse_size

        try:
            return value if isinstance(value, int) else parse_size(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class PathType(click.Path):
    """A path whose leading `~` is a home folder, in either spelling of an option: -o ~/q and --output=~/q.

    `as_text` gives a str: for a name that may be a path, or an address of the hub, of which a Path would make hf:/.
    """

    def __init__(self, as_text: bool = False, **checks: Any):
        super().__init__(path_type=str, **checks)
        self.as_text = as_text

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = super().convert(expanded(str(value)), param, ctx)
        return found if self.as_text else as_path(str(found))


json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
recipe_argument = click.argument("recipe", type=PathType(as_text=True), shell_complete=complete_recipe)


def _guide(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """One of --importance and --calibration, whichever is given, as `importance_file`."""
    named = context.params.get("importance_file")
    if value is not None and named is not None:
        raise click.UsageError("--importance and --calibration: a record serves as both, so name it alone")
    if not parameter.expose_value and value is not None:
        context.params["importance_file"] = value
    return named if value is None else value


def importance_option(command: F) -> F:
    """--importance and --calibration: one of them guides a plan, and the command gets it as `importance_file`."""
    file = click.option(
        "--importance",
        "importance_file",
        type=PathType(),
        callback=_guide,
        help="An imatrix (.dat or GGUF), for formats with `importance: file`.",
    )
    record = click.option(
        "--calibration",
        type=PathType(exists=True, file_okay=False),
        callback=_guide,
        expose_value=False,
        help="An activation record, for formats with `fit: gptq` or `importance: record`.",
    )
    return file(record(command))


source_type = PathType(as_text=True)
"""A folder, or a repository of the hub."""
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
allow_zeros_option = click.option(
    "--allow-zeros", is_flag=True, help="Build even where more than half of a matrix of SRC is nothing but zeros."
)
force_option = click.option("--force", is_flag=True, help="Replace the file that is written to, whatever it holds.")


def fits_options(about: str) -> Callable[[F], F]:
    """--fits (with this help), --context and --wired: the machine that a plan is held against."""
    machine = click.option("--fits", metavar="MACHINE", help=about)
    context = click.option(
        "--context", type=click.IntRange(1), default=CONTEXT, show_default=True, help="Tokens of KV cache (--fits)."
    )
    wired = click.option("--wired", type=Size(), help="The wired limit, where iogpu.wired_limit_mb is set (--fits).")
    return lambda command: machine(context(wired(command)))


def scratch_options(command: F) -> F:
    """--scratch and --scratch-dir, where the weights of a source on the hub are read."""
    size = click.option(
        "--scratch",
        type=Size(),
        help="The most disk that downloads take meanwhile, where SRC is on the hub (default: 20GiB).",
    )
    folder = click.option(
        "--scratch-dir",
        type=PathType(exists=True, file_okay=False),
        help="The folder for them (default: beside the bundle).",
    )
    return size(folder(command))
