"""Floor 6, cli. `evaluate A --source SRC` measures on text what a recipe, plan or bundle loses."""

from __future__ import annotations

from pathlib import Path

import click

from dsv4recipe.cli.arguments import PathType, Size, force_option, importance_option, json_option, source_option
from dsv4recipe.cli.complete import complete_runtime, complete_side

_SIDE = PathType(as_text=True)


@click.command("evaluate")
@click.argument("subject", metavar="A", type=_SIDE, shell_complete=complete_side)
@source_option
@click.option("--against", metavar="B", type=_SIDE, help="Compare with this recipe, plan or bundle, not the source.")
@click.option(
    "--text",
    type=PathType(),
    multiple=True,
    metavar="FILE",
    help="Plain text, chats (*.jsonl) or token ids (*.npy); repeat for several. Default: two texts of the package.",
)
@click.option("--by", type=click.Choice(("role", "layer", "module")), help="Also measure each part of A alone.")
@click.option(
    "--runtime",
    metavar="NAME",
    shell_complete=complete_runtime,
    help="Take the figures of A, a bundle, from the real runtime (vmlx, mlx-vlm, …), not the reference.",
)
@click.option(
    "--runtime-python", multiple=True, metavar="[NAME=]PATH", help="The interpreter that has the runtime; repeatable."
)  # fmt: skip
@click.option("--length", type=click.IntRange(2), default=512, show_default=True, help="Tokens per sequence.")
@click.option("--tokens", type=click.IntRange(1), help="Use at most this many tokens of the text.")
@click.option("--device", default="cpu", show_default=True, help="Compute on this device: cpu, cuda, mps.")
@click.option("--workers", type=click.IntRange(1, 256), help="Threads that decode (default: one per processor).")
@click.option("--states", type=Size(), default="4GiB", show_default=True,
              help="Memory for the states of all tokens; what is beyond lies on disk.")  # fmt: skip
@click.option("--work", type=PathType(file_okay=False), metavar="FOLDER",
              help="Where a killed evaluation finds its states (default: beside OUT).")  # fmt: skip
@click.option("-o", "--output", type=PathType(), help="Write the evidence file, for `build --evidence`.")
@importance_option
@force_option
@json_option
def command(
    subject: str,
    source: str,
    against: str | None,
    text: tuple[Path, ...],
    by: str | None,
    runtime: str | None,
    runtime_python: tuple[str, ...],
    length: int,
    tokens: int | None,
    device: str,
    workers: int | None,
    states: int,
    work: Path | None,
    output: Path | None,
    importance_file: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Measure what A (a recipe, plan or bundle) loses against its source: the loss and perplexity on a text, the KL
    divergence of its predictions, and how often its top token is the source's. One decoder layer is in memory at a
    time, so a machine can measure a model that it cannot hold. Needs torch: pip install 'dsv4recipe[measure]'."""
    import json

    from dsv4recipe.api.evaluate import Wishes, evaluate
    from dsv4recipe.api.in_runtime import InRuntime
    from dsv4recipe.cli.evaluate_view import Shown, print_evaluation
    from dsv4recipe.cli.output import print_json
    from dsv4recipe.files.outputs import QUALITY, check_output, write_output
    from dsv4recipe.forward.run import Settings

    if runtime_python and runtime is None:
        raise click.UsageError("--runtime-python needs --runtime NAME")
    if force and output is None:
        raise click.UsageError("--force needs -o OUT")
    if output is not None:
        check_output(output, QUALITY, force)
        work = work or output.with_name(f".{output.name}.work")
    settings = Settings(device=device, states=states, scratch=work, **({"workers": workers} if workers else {}))
    run = None if runtime is None else InRuntime(runtime, runtime_python)
    wishes = Wishes(length, tokens, by, run, work, settings=settings)
    with Shown(as_json) as shown:
        found = evaluate(
            subject,
            source,
            text=text,
            against=against,
            importance=importance_file,
            wishes=wishes,
            told=shown.told,
            before=shown.before,
        )
    if output is not None:
        write_output(output, json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n", QUALITY, force)
        if work is not None and work.name == f".{output.name}.work":
            _remove(work)
    if as_json:
        print_json(found)
    else:
        print_evaluation(found, str(output or ""))


def _remove(folder: Path) -> None:
    """Removes a work folder of this command if only empty folders are left in it."""
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    if folder.is_dir():
        folder.rmdir()
