"""Floor 6, cli. `init FILE` writes a commented recipe to start from, with the editor's modeline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dsv4recipe.cli.arguments import PathType, force_option, json_option
from dsv4recipe.cli.complete import complete_recipe

if TYPE_CHECKING:
    from dsv4recipe.recipe.model import Recipe
    from dsv4recipe.runtimes import Target


@click.command("init")
@click.argument("file", type=PathType())
@click.option("--runtime", help="The runtime that the bundle is for (default: vmlx, or that of --from).")
@click.option(
    "--from", "parent", shell_complete=complete_recipe, help="Start from another recipe, such as q4q8 or ./base.yaml."
)
@force_option
@json_option
def command(file: Path, runtime: str | None, parent: str | None, force: bool, as_json: bool) -> None:
    """Write a new recipe to FILE. An existing file is replaced only with --force."""
    from dsv4recipe import load_recipe
    from dsv4recipe.files.outputs import RECIPE, write_output
    from dsv4recipe.recipe.template import child_text, init_text
    from dsv4recipe.runtimes import known, targets

    name = file.name.split(".")[0]
    runtimes = ", ".join(sorted({target.name for target in targets()}))
    chosen = known(runtime)[0] if runtime else None
    if parent is not None:
        base = load_recipe(parent)
        text = child_text(name, parent, _target(chosen, base) if chosen else "", runtimes)
    elif chosen is not None and "affine" not in chosen.runs.get("routed-expert", chosen.runs[""]):
        raise click.UsageError(
            f"{chosen.name} cannot run affine experts, which the starter recipe has; add --from ds4-q2"
        )
    else:
        target = chosen or known("vmlx")[0]
        text = init_text(name, target.name, target.mtp[0], target.halves[0], runtimes)
    write_output(file, text, RECIPE, force)
    if as_json:
        from dsv4recipe.cli.output import print_json

        print_json({"format_version": 1, "file": str(file)})
    else:
        click.echo(f"wrote {file}; next: dsv4recipe check {file}")


def _target(chosen: Target, base: Recipe) -> str:
    """Returns the target section of a recipe that moves to another runtime, with values that this runtime supports."""
    from dsv4recipe.recipe.shard_size import size_text

    keeps = base.target.mtp in chosen.mtp and "classic" in chosen.stages
    mtp = base.target.mtp if keeps else "drop"
    return (
        f"target:\n  runtime: {chosen.name}\n  experts: {chosen.expert_layouts[0]}\n  mtp: {mtp}\n"
        f"  shard-size: {size_text(base.target.shard_size)}\n  half: {chosen.halves[0]}\n"
    )
