"""Floor 6, cli. Defines options and arguments that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from dsv4recipe.allocation.machine import CONTEXT
from dsv4recipe.cli.complete import complete_recipe
from dsv4recipe.paths import as_path, expanded

F = TypeVar("F", bound=Callable[..., Any])


class Size(click.ParamType[int]):
    """Reads bytes with a unit: 120GiB, 120GB, 135346422876B."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from dsv4recipe.units import parse_size

        try:
            return value if isinstance(value, int) else parse_size(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class PathType(click.Path):
    """Reads a path whose leading `~` means a home folder, in either spelling of an option: -o ~/q and --output=~/q.

    `as_text` gives a str, for a name that may be a path or an address on the hub; a Path would turn hf:// into hf:/.
    """

    def __init__(self, as_text: bool = False, **checks: Any):
        super().__init__(path_type=str, **checks)
        self.as_text = as_text

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = super().convert(expanded(str(value)), param, ctx)
        return found if self.as_text else as_path(str(found))


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document to stdout.")
recipe_argument = click.argument("recipe", type=PathType(as_text=True), shell_complete=complete_recipe)


def _guide(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Returns the value of --importance or --calibration, whichever is given, as `importance_file`."""
    named = context.params.get("importance_file")
    if value is not None and named is not None:
        raise click.UsageError("pass only one of --importance and --calibration; a record serves as both")
    if not parameter.expose_value and value is not None:
        context.params["importance_file"] = value
    return named if value is None else value


def importance_option(command: F) -> F:
    """Adds --importance and --calibration. One of them guides a plan; the command gets it as `importance_file`."""
    file = click.option(
        "--importance",
        "importance_file",
        type=PathType(),
        callback=_guide,
        help="Use an imatrix (.dat or GGUF), for formats with `importance: file`.",
    )
    record = click.option(
        "--calibration",
        type=PathType(exists=True, file_okay=False),
        callback=_guide,
        expose_value=False,
        help="Use an activation record, for formats with `fit: gptq` or `importance: record`.",
    )
    return file(record(command))


source_type = PathType(as_text=True)
"""A folder, or a repository on the hub."""
SOURCE_HELP = "The checkpoint: a folder, or hf://org/repo@revision."
layout_option = click.option("--source", "source", type=source_type, help=SOURCE_HELP + " Default: --release.")
"""For commands that read only headers: they work without a checkpoint."""
release_option = click.option(
    "--release",
    metavar="NAME",
    help="Use the layout of a release, such as v4-flash, without a checkpoint (default: the recipe's release).",
)
base_model_option = click.option(
    "--base-model",
    metavar="ORG/NAME[@COMMIT]",
    help="Say which repository SRC comes from, for card and manifest, if this is not known otherwise.",
)
source_option = click.option("--source", "source", required=True, type=source_type, help=SOURCE_HELP)
allow_zeros_option = click.option(
    "--allow-zeros", is_flag=True, help="Build even where more than half of a matrix of SRC is nothing but zeros."
)
force_option = click.option("--force", is_flag=True, help="Replace an existing file.")


def fits_options(about: str) -> Callable[[F], F]:
    """Adds --fits, --context and --wired, which describe the machine that a plan is compared with."""
    machine = click.option("--fits", metavar="MACHINE", help=about)
    context = click.option(
        "--context", type=click.IntRange(1), default=CONTEXT, show_default=True, help="Tokens of KV cache (--fits)."
    )
    wired = click.option("--wired", type=Size(), help="The wired limit, if iogpu.wired_limit_mb is set; for --fits.")
    return lambda command: machine(context(wired(command)))


def scratch_options(command: F) -> F:
    """Adds --scratch and --scratch-dir, which say where the weights of a source on the hub are kept during a build."""
    size = click.option(
        "--scratch",
        type=Size(),
        help="Limit the disk space of downloads, if SRC is on the hub (default: 20GiB).",
    )
    folder = click.option(
        "--scratch-dir",
        type=PathType(exists=True, file_okay=False),
        help="Keep downloads in this folder (default: beside the bundle).",
    )
    return size(folder(command))
