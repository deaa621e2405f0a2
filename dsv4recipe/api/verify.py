"""Floor 5, api. `verify`: the proof of a bundle, anyone's, in steps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dsv4recipe.api.subjects import as_importance
from dsv4recipe.paths import as_path
from dsv4recipe.verifier import run
from dsv4recipe.verifier.result import Verification
from dsv4recipe.verifier.runtime.step import RuntimeRun

if TYPE_CHECKING:
    from dsv4recipe.importance.model import Guide


def verify(
    bundle: str | Path,
    source: str | Path | None = None,
    *,
    runtime: str | RuntimeRun | None = None,
    python: str | Path | None = None,
    sample: int = 0,
    seed: int = 0,
    importance: Guide | str | Path | None = None,
    scratch: int | None = None,
    scratch_dir: str | Path | None = None,
) -> Verification:
    """Proves a bundle: its bytes against its manifest and its tensors against its runtime's contract; with `source` its
    numbers; with `runtime` that it loads and runs there.

    `runtime` is a name or "all", with `python` the interpreter that has it, or a `RuntimeRun` that says all there is to
    say. `sample` compares that many source tensors only, drawn by `seed`; 0 compares all. `importance` is the file that
    the bundle was built with: without it, what was weighed by it is not encoded again. `scratch` (bytes) and
    `scratch_dir` are as in `build`.

    Raises RecipeError V001 where there is no bundle, V222 for an unknown runtime, H012 where a runtime is to be
    compared with a source that is not on this machine, I020 for another importance file, and what `open_checkpoint`
    raises for a broken source.
    """
    where = None if scratch_dir is None else as_path(scratch_dir)
    return run.verify(
        bundle, source, runtime, python, sample=sample, seed=seed, importance=as_importance(importance),
        scratch=scratch, scratch_dir=where,
    )  # fmt: skip
