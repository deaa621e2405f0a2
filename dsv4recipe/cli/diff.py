"""Floor 5, cli. `diff A B`: two plans, grouped by module pattern."""

from __future__ import annotations

from pathlib import Path

import click

from dsv4recipe.cli.arguments import json_option

DIFFERENT = 2


@click.command("diff")
@click.argument("before")
@click.argument("after")
@click.option("--source", type=click.Path(path_type=Path), help="The checkpoint, where a side is a recipe.")
@click.option("--exit-code", is_flag=True, help="Exit with 2 if there are differences.")
@json_option
def command(before: str, after: str, source: Path | None, exit_code: bool, as_json: bool) -> int:
    """Compare BEFORE and AFTER: recipes, plan files or bundles built by dsv4recipe."""
    from dsv4recipe import diff
    from dsv4recipe.cli.diff_view import print_diff
    from dsv4recipe.cli.output import print_json
    from dsv4recipe.cli.planned import Planner

    planner = Planner(source)
    found = diff(planner.plan(before), planner.plan(after))
    if as_json:
        print_json(found.data())
    else:
        print_diff(found)
    return DIFFERENT if exit_code and not found.empty else 0
