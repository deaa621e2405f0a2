"""Floor 5, cli. `verify BUNDLE`: the proof, in steps."""

from __future__ import annotations

from pathlib import Path

import click

from dsv4recipe.cli.arguments import json_option
from dsv4recipe.cli.complete import complete_runtime

FAILED = 3


@click.command("verify")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--source", type=click.Path(path_type=Path), help="The checkpoint, to compare logits with.")
@click.option(
    "--runtime", shell_complete=complete_runtime, help="Load it with an installed runtime: jang-strict, jang or vmlx."
)
@click.option("--runtime-python", type=click.Path(path_type=Path), help="The interpreter that has the runtime.")
@json_option
def command(bundle: Path, source: Path | None, runtime: str | None, runtime_python: Path | None, as_json: bool) -> int:
    """Prove BUNDLE: its bytes against its manifest, its tensors and config against the runtime's contract, and with
    --runtime its load and forward pass in the real runtime."""
    from dsv4recipe import verify
    from dsv4recipe.cli.output import print_json
    from dsv4recipe.cli.verify_view import print_verification

    found = verify(bundle, source, runtime, runtime_python)
    if as_json:
        print_json(found.data())
    else:
        print_verification(found)
    return 0 if found.ok else FAILED
