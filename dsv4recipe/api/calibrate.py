"""Floor 5, api. `calibrate` runs a text through a checkpoint and records the inputs of its matrices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from dsv4recipe.api.subjects import AnyCheckpoint, as_checkpoint
from dsv4recipe.calibration import imatrix
from dsv4recipe.calibration.run import Needs, calibrate_to, needs
from dsv4recipe.evaluation.text import read_text
from dsv4recipe.files.atomic import write_file
from dsv4recipe.forward.run import Settings
from dsv4recipe.paths import as_path
from dsv4recipe.records.model import Record
from dsv4recipe.records.names import EXPERTS
from dsv4recipe.records.read import load_record


def calibrate(
    source: AnyCheckpoint,
    text: Sequence[str | Path],
    *,
    out: str | Path,
    modules: Sequence[str] = (EXPERTS,),
    rows: str = "int8",
    length: int = 512,
    tokens: int | None = None,
    imatrix_file: str | Path | None = None,
    settings: Settings | None = None,
    told: Callable[[int, int], None] = lambda done, total: None,
    before: Callable[[Needs], None] = lambda needs: None,
) -> Record:
    """Records the inputs of the matrices of `source` while it reads the files `text` (like `evaluate`), in the folder
    `out`. Needs the extra `measure`.

    `modules`: entries of `records.names.ENTRIES`; `rows`: "int8" or "bf16"; `length`: tokens of a sequence; `tokens`:
    at most so many; `imatrix_file`: also write an importance file there, as GGUF where its name ends in .gguf. `before`
    hears what it will take.
    Raises RecipeError K020 to K023, M0xx, C0xx.
    """
    checkpoint = as_checkpoint(source)
    read = read_text([as_path(path) for path in text], checkpoint, length, tokens)
    before(needs(checkpoint, read.tokens, modules, rows))
    folder = calibrate_to(checkpoint, read, as_path(out), modules, rows, settings, told)
    record = load_record(folder)
    if imatrix_file is not None:
        path = as_path(imatrix_file)
        write_file(path, imatrix.as_named(record, path.suffix))
    return record
