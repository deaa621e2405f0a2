"""Floor 6, cli. `lock RECIPE --source SRC` pins source, parents, tool and plan, which `build --locked` then checks."""

from __future__ import annotations

from pathlib import Path

import click

from dsv4recipe.cli.arguments import (
    PathType,
    base_model_option,
    force_option,
    importance_option,
    json_option,
    recipe_argument,
    source_option,
)


@click.command("lock")
@recipe_argument
@source_option
@click.option("-o", "--output", type=PathType(), help="Write the lock here (default: RECIPE with the ending .lock).")
@click.option("--check", is_flag=True, help="Write nothing. If the lock is stale, say what changed and exit with 1.")
@base_model_option
@importance_option
@force_option
@json_option
def command(
    recipe: str,
    source: str,
    output: Path | None,
    check: bool,
    base_model: str | None,
    importance_file: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Pin everything that decides the tensors of a build of RECIPE: source headers, parents, tool, encoders, plan.

    Only headers are read, never weights. `verify --source` proves that the weights behind them are the same.
    """
    from dsv4recipe import lock
    from dsv4recipe.api.lock import held_to, lock_path, locked_text
    from dsv4recipe.api.named import Planner
    from dsv4recipe.cli.output import print_json
    from dsv4recipe.files.outputs import LOCK, check_output, write_output

    path = output or lock_path(recipe)
    if not check:
        check_output(path, LOCK, force)
    planner = Planner(source, importance_file, base_model=base_model)
    checkpoint, importance = planner.source_for(recipe), planner.importance
    if check:
        digest, word = held_to(recipe, checkpoint, path, importance).digest, "unchanged"
    else:
        now = lock(recipe, checkpoint, importance=importance)
        same = path.is_file() and locked_text(path) == now.text
        digest, word = now.plan.digest, "unchanged" if same else "written"
        if not same:
            write_output(path, now.text, LOCK, force)
    if as_json:
        print_json({"format_version": 1, "lock": str(path), "plan": digest, "state": word})
    else:
        click.echo(f"{path} {word}: plan {digest}")
