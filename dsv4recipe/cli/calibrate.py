"""Floor 6, cli. `calibrate` records the inputs of a model's matrices."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dsv4recipe.cli.arguments import PathType, json_option, source_type
from dsv4recipe.cli.output import print_json
from dsv4recipe.units import human_size

if TYPE_CHECKING:
    from dsv4recipe.calibration.coverage import Covered
    from dsv4recipe.calibration.run import Needs

_TEXT = "Text, chats (.jsonl) or token ids (.npy)."
_HEAD = "layer   tokens per expert: least  median    most   experts without one   effective rank"


@click.command()
@click.argument("source", type=source_type)
@click.option("--text", "texts", type=PathType(), multiple=True, required=True, help=_TEXT)
@click.option("-o", "--output", "out", type=PathType(), required=True, help="Write the record to this folder.")
@click.option("--imatrix", "imatrix_file", type=PathType(), help="Also write an importance file: .gguf or .dat.")
@click.option(
    "--modules", default="experts", show_default=True, help="The modules to record, separated by commas, or `all`."
)
@click.option(
    "--rows",
    type=click.Choice(["int8", "bf16"]),
    default="int8",
    show_default=True,
    help="The type of the stored inputs.",
)
@click.option("--length", type=click.IntRange(2), default=512, show_default=True, help="Tokens per sequence.")
@click.option("--tokens", type=click.IntRange(1), help="Use at most this many tokens of the text.")
@click.option("--device", default="cpu", show_default=True, help="Run the model on this device: cpu, cuda, mps.")
@json_option
def command(
    source: str,
    texts: tuple[Path, ...],
    out: Path,
    imatrix_file: Path | None,
    modules: str,
    rows: str,
    length: int,
    tokens: int | None,
    device: str,
    as_json: bool,
) -> None:
    """Record the inputs of the matrices of SOURCE while it reads a text.

    Pass the record to `plan` and `build` with --calibration, for formats with `fit: gptq` or `importance: record`.
    """
    from dsv4recipe.api.calibrate import calibrate
    from dsv4recipe.calibration.coverage import coverage
    from dsv4recipe.forward.run import Settings
    from dsv4recipe.records.names import ENTRIES

    chosen = ENTRIES if modules == "all" else tuple(each.strip() for each in modules.split(","))
    record = calibrate(
        source, texts, out=out, modules=chosen, rows=rows, length=length, tokens=tokens, imatrix_file=imatrix_file,
        settings=Settings(device=device), told=_told, before=_before,
    )  # fmt: skip
    lines = list(coverage(record))
    if as_json:
        data = {"record": str(out), "sha256": record.sha256, "tokens": record.tokens}
        print_json(data | {"coverage": [{name: getattr(line, name) for name in line.__slots__} for line in lines]})
        return
    click.echo(f"{out}: {record.tokens:,} tokens, sha256 {record.sha256}")
    if lines:
        click.echo(_HEAD)
    for line in lines:
        click.echo(_row(line))
    if any(line.unseen for line in lines):
        click.echo("An expert without a token is encoded with the inputs of the other experts of its layer.")


def _before(wanted: Needs) -> None:
    said = f"{wanted.tokens:,} tokens: the record takes {human_size(wanted.record)}"
    click.echo(f"{said}; during the run the states take {human_size(wanted.states)}, on disk if over 4 GiB", err=True)


def _told(done: int, total: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"\rlayer {done} of {total}", err=True, nl=done == total)


def _row(line: Covered) -> str:
    counts = f"{line.least:26,}{line.median:8,}{line.most:8,}"
    return f"{line.layer:5}{counts}{line.unseen:15} of {line.experts:<4}{line.rank:14.1f}"
