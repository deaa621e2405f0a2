"""Floor 6, cli. `build RECIPE|PLAN --source SRC -o OUT` builds a bundle, and continues an interrupted build."""

from __future__ import annotations

from pathlib import Path

import click

from dsv4recipe.cli.arguments import (
    PathType,
    allow_zeros_option,
    base_model_option,
    importance_option,
    json_option,
    recipe_argument,
    scratch_options,
    source_option,
    source_type,
)


@click.command("build")
@recipe_argument
@source_option
@click.option("-o", "--output", required=True, type=PathType(), help="Write the bundle to this folder.")
@click.option("--workers", type=click.IntRange(1, 256), help="Encode with this many threads (default: one per core).")
@click.option(
    "--engine", type=click.Choice(["local", "dask"]), default="local", help="Encode in threads, or on a Dask cluster."
)
@click.option(
    "--scheduler",
    type=source_type,
    help="The cluster's scheduler: tcp://HOST:PORT or a file (default: start processes on this machine).",
)
@click.option("--locked", is_flag=True, help="Stop unless RECIPE's lock matches the present state.")
@click.option(
    "--source-sums",
    "sums",
    type=PathType(),
    help="The output of `sha256sum *.safetensors` in SRC. A file with other bytes is refused before it is used.",
)
@allow_zeros_option
@click.option("--headers-only", is_flag=True, help="Files of full size with holes for data, to try a loader on.")
@click.option("--evidence", type=PathType(), help="What `evaluate -o` measured of RECIPE, for manifest and card.")
@base_model_option
@importance_option
@scratch_options
@click.option("-q", "--quiet", is_flag=True, help="Show no progress: errors alone.")
@click.option("-v", "--verbose", is_flag=True, help="Also say when a shard begins and ends.")
@click.option("--log", type=PathType(), help="Add every event to this file, a JSON line with its time each.")
@json_option
def command(
    recipe: str,
    source: str,
    output: Path,
    workers: int | None,
    engine: str,
    scheduler: str | None,
    locked: bool,
    sums: Path | None,
    allow_zeros: bool,
    headers_only: bool,
    evidence: Path | None,
    base_model: str | None,
    importance_file: Path | None,
    scratch: int | None,
    scratch_dir: Path | None,
    quiet: bool,
    verbose: bool,
    log: Path | None,
    as_json: bool,
) -> None:
    """Build the bundle that RECIPE (a recipe or a plan file) describes, from the checkpoint at SRC.

    The same command continues an interrupted build, with either engine, and leaves a finished one unchanged. If the
    checkpoint is on the hub, the disk never holds more of it than the scratch size.
    """
    from dsv4recipe import build
    from dsv4recipe.api.build import plan_to_build
    from dsv4recipe.api.named import Planner
    from dsv4recipe.cli.colours import rendered
    from dsv4recipe.cli.engines import engine_of
    from dsv4recipe.cli.progress import watching

    if headers_only and evidence is not None:
        raise click.UsageError("--headers-only makes no bundle that --evidence could be about")
    made_by = engine_of(engine, scheduler, workers)
    planner = Planner(source, importance_file, base_model=base_model)
    plan = plan_to_build(recipe, planner, locked)
    for note in planner.checkpoint.notes:
        click.echo(rendered(note), err=True)
    if headers_only:
        from dsv4recipe.builder.hollow import build_headers
        from dsv4recipe.cli.progress import told_hollow

        told_hollow(build_headers(plan, planner.checkpoint, output), plan, as_json)
        return
    wanted = None
    if sums is not None:
        from dsv4recipe.cli.sums import read_sums

        wanted = read_sums(sums, frozenset(header.file for header in planner.checkpoint.folder.files))
    with watching(as_json, plan.weights, quiet, verbose, log) as on_event:
        build(
            plan,
            planner.checkpoint,
            output,
            workers=workers,
            on_event=on_event,
            source_sha256=wanted,
            importance=planner.importance,
            scratch=scratch,
            scratch_dir=scratch_dir,
            engine=made_by(on_event),
            allow_zeros=allow_zeros,
            evidence=evidence,
        )
