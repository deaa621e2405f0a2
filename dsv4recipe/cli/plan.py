"""Floor 5, cli. `plan RECIPE --source SRC [-o FILE]`: what every tensor becomes, before a byte is read."""

from __future__ import annotations

from pathlib import Path

import click

from dsv4recipe.cli.arguments import (
    base_model_option,
    importance_option,
    json_option,
    layout_option,
    recipe_argument,
    release_option,
)


@click.command("plan")
@recipe_argument
@layout_option
@release_option
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the plan to a file.")
@base_model_option
@importance_option
@json_option
def command(
    recipe: str,
    source: str | None,
    release: str | None,
    output: Path | None,
    base_model: str | None,
    importance_file: Path | None,
    as_json: bool,
) -> None:
    """Say what RECIPE makes of a checkpoint, to the byte. Headers are read, weights are not."""
    from dsv4recipe import load_recipe, make_plan
    from dsv4recipe.checkpoint.layout import LayoutSource
    from dsv4recipe.cli.output import print_json
    from dsv4recipe.cli.plan_view import print_plan
    from dsv4recipe.cli.planned import Planner
    from dsv4recipe.plan.canonical import dump_plan, plan_data

    planner = Planner(source, importance_file, release, base_model)
    loaded = load_recipe(recipe)
    checkpoint = planner.checkpoint_for(loaded)
    plan = make_plan(loaded, checkpoint, planner.importance)
    if output is not None:
        output.write_text(dump_plan(plan), encoding="utf-8")
    if as_json:
        print_json(plan_data(plan))
    else:
        if isinstance(checkpoint.folder.source, LayoutSource):
            click.echo(f"no checkpoint was named: this is {checkpoint.folder.place}", err=True)
        print_plan(plan)
        if output is not None:
            click.echo(f"wrote {output}")
