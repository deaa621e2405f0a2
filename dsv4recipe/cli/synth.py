"""Floor 6, cli. `synth OUT` writes a synthetic checkpoint with the real names, dtypes and shapes."""

from __future__ import annotations

from pathlib import Path

import click

from dsv4recipe.checkpoint.releases import RELEASES
from dsv4recipe.checkpoint.synth_config import PRESETS
from dsv4recipe.cli.arguments import PathType, json_option
from dsv4recipe.units import counted, human_size


@click.command("synth")
@click.argument("out", type=PathType())
@click.option("--release", default="v4-flash", show_default=True, type=click.Choice(RELEASES))
@click.option("--preset", default="tiny", show_default=True, type=click.Choice(PRESETS))
@click.option("--layers", type=click.IntRange(1, 1024), help="Main layers (default: the preset's).")
@click.option("--experts", type=click.IntRange(1, 4096), help="Routed experts per layer (default: the preset's).")
@click.option("--headers-only", is_flag=True, help="Write complete headers, and holes instead of data.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0))
@json_option
def command(
    out: Path,
    release: str,
    preset: str,
    layers: int | None,
    experts: int | None,
    headers_only: bool,
    seed: int,
    as_json: bool,
) -> None:
    """Write a synthetic checkpoint to OUT, with real names, dtypes, shapes and sharding but random weights."""
    from dsv4recipe.checkpoint.synth import synthesize

    made = synthesize(out, release, preset, layers, experts, headers_only, seed)
    if as_json:
        from dsv4recipe.cli.output import print_json

        summary = {"out": str(out), "tensors": made.tensors, "bytes": made.bytes, "shards": made.shards}
        print_json({"format_version": 1, **summary})
    else:
        click.echo(
            f"{out}: {made.tensors:,} tensors in {counted(made.shards, 'shard')}, {human_size(made.bytes)} (synthetic)"
        )
