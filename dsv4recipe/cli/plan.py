"""Floor 6, cli. `plan RECIPE --source SRC [-o FILE]` shows what every tensor becomes, before any weight is read."""

from __future__ import annotations

from pathlib import Path

import click

from dsv4recipe.cli.arguments import (
    PathType,
    base_model_option,
    fits_options,
    force_option,
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
@click.option("-o", "--output", type=PathType(), help="Write the plan to this file. An older plan is replaced.")
@base_model_option
@importance_option
@fits_options("Say whether the plan fits: 128GB-mac, 192GB-mac.")
@click.option("--evidence", type=PathType(), help="What `evaluate -o` wrote: shown, and told if it is of another plan.")
@click.option("--strict", is_flag=True, help="Fail if the plan gets a warning or advice.")
@force_option
@json_option
def command(
    recipe: str,
    source: str | None,
    release: str | None,
    output: Path | None,
    base_model: str | None,
    importance_file: Path | None,
    fits: str | None,
    context: int,
    wired: int | None,
    evidence: Path | None,
    strict: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Say what RECIPE makes of a checkpoint, to the byte. Only headers are read, never weights."""
    from dsv4recipe import load_recipe, make_plan
    from dsv4recipe.advice.advise import advise, as_errors
    from dsv4recipe.advice.fit import fit, machine_said
    from dsv4recipe.api.named import Planner
    from dsv4recipe.checkpoint.layout import LayoutSource
    from dsv4recipe.cli.colours import rendered
    from dsv4recipe.cli.output import print_json
    from dsv4recipe.cli.plan_view import print_plan
    from dsv4recipe.errors import RecipeError
    from dsv4recipe.evaluation.evidence import load_evidence
    from dsv4recipe.files.outputs import PLAN, check_output, write_output
    from dsv4recipe.plan.canonical import dump_plan, plan_data

    if output is not None:
        check_output(output, PLAN, force)
    planner = Planner(source, importance_file, release, base_model)
    loaded = load_recipe(recipe)
    checkpoint = planner.checkpoint_for(loaded)
    plan = make_plan(loaded, checkpoint, importance=planner.importance)
    measured = load_evidence(evidence) if evidence else None
    advice = advise(loaded, plan, checkpoint, measured.plan if measured else "")
    machine = fits or machine_said(loaded)
    fitting = fit(plan, checkpoint, machine, context, wired=wired) if machine else None
    if strict and advice:
        raise RecipeError.of(as_errors(advice))
    if output is not None:
        write_output(output, dump_plan(plan), PLAN, force)
    if as_json:
        print_json(plan_data(plan))
    else:
        if isinstance(checkpoint.folder.source, LayoutSource):
            click.echo(f"no checkpoint was named, so this uses {checkpoint.folder.place}", err=True)
        print_plan(plan)
        for note in checkpoint.notes:
            click.echo(rendered(note))
        if fitting is not None:
            click.echo(fitting.words())
        if measured is not None and measured.plan == plan.digest:
            click.echo(f"measured: {measured.sentence}")
    for each in advice:
        click.echo(rendered(each), err=True)
    if output is not None and not as_json:
        click.echo(f"wrote {output}")
