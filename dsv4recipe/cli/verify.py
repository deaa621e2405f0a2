"""Floor 5, cli. `verify BUNDLE`: the proof, in steps."""

from __future__ import annotations

from pathlib import Path

import click

from dsv4recipe.cli.arguments import json_option
from dsv4recipe.cli.complete import complete_runtime

FAILED = 3
_PATH = click.Path(path_type=Path)


@click.command("verify")
@click.argument("bundle", type=_PATH)
@click.option("--source", type=_PATH, help="The checkpoint it was made from: compares every tensor, and logits.")
@click.option("--sample", type=click.IntRange(0), default=0, help="Compare that many source tensors only (0: all).")
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Draws the sample: the same seed, the same tensors."
)
@click.option("--fix-config", type=_PATH, help="Write config.json with the quantization that the tensors show.")
@click.option(
    "--runtime", shell_complete=complete_runtime, help="Load it with an installed runtime: jang-strict, jang or vmlx."
)
@click.option("--runtime-python", type=_PATH, help="The interpreter that has the runtime.")
@json_option
def command(
    bundle: Path,
    source: Path | None,
    sample: int,
    seed: int,
    fix_config: Path | None,
    runtime: str | None,
    runtime_python: Path | None,
    as_json: bool,
) -> int:
    """Prove BUNDLE, anyone's: its bytes against its manifest; its tensors and config against the runtime's contract,
    with what every known loader would make of it; with --source its numbers; with --runtime its load and forward pass
    in the real runtime."""
    from dsv4recipe import verify
    from dsv4recipe.cli.output import print_json
    from dsv4recipe.cli.verify_view import print_verification

    if fix_config is not None:
        from dsv4recipe.cli.fix_config import write_config

        return write_config(bundle, fix_config, as_json)
    found = verify(bundle, source, runtime, runtime_python, sample=sample, seed=seed)
    if as_json:
        print_json(found.data())
    else:
        print_verification(found)
    return 0 if found.ok else FAILED
