"""Floor 4, verifier. `verify`: the steps of the proof, in order."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from dsv4recipe.bundle.open import open_bundle
from dsv4recipe.bundle.places import places_of
from dsv4recipe.bundle.read import read_bundle
from dsv4recipe.checkpoint.graph import Checkpoint, open_checkpoint
from dsv4recipe.checkpoint.other_things import snapshot_in
from dsv4recipe.errors import Diagnostic, RecipeError, Where
from dsv4recipe.hub.scratch import Scratch, scratch_for
from dsv4recipe.paths import as_path
from dsv4recipe.verifier.contract.check import check_any
from dsv4recipe.verifier.integrity import check_integrity
from dsv4recipe.verifier.result import Step, Verification
from dsv4recipe.verifier.runtime.dense_source import readable
from dsv4recipe.verifier.runtime.step import RuntimeRun, choices, runtime_steps

if TYPE_CHECKING:
    from dsv4recipe.importance.model import Guide
    from dsv4recipe.verifier.numbers.check import Numbers


def verify(
    bundle: str | Path,
    source: str | Path | None = None,
    runtime: str | RuntimeRun | None = None,
    python: str | Path | None = None,
    *,
    sample: int = 0,
    seed: int = 0,
    importance: Guide | None = None,
    scratch: int | None = None,
    scratch_dir: str | Path | None = None,
) -> Verification:
    """Proves a bundle, anyone's: integrity and contract always; with `source` its numbers; with `runtime` its load and
    forward. `sample` compares that many source tensors only, drawn by `seed`; 0 compares all.

    `runtime` is a name or "all", with `python` the interpreter that has it, or a `RuntimeRun` that says all there is to
    say; with `source` too, the runtime's logits are compared with those of the decoded source model, where that fits in
    memory. `importance` is the file that the bundle was built with, if any: without it, what was weighed by it is not
    encoded again. `scratch` and `scratch_dir` are as in `build`. Raises RecipeError V001 where there is no folder,
    V222 for an unknown runtime, H012 where a runtime is to be compared with a source that is not on this machine, I020
    for another importance file, and what `open_checkpoint` raises for a broken source.
    """
    root = snapshot_in(as_path(bundle))
    if not places_of(root).there(root):
        raise RecipeError("V001", "there is no such bundle", Where(str(root)))
    contract = check_any(root)
    run = RuntimeRun(runtime, (str(python),) if python else ()) if isinstance(runtime, str) else runtime
    chosen = choices(root, contract.runtimes, run) if run else ()
    steps = [check_integrity(root), contract.step]
    checkpoint = None if source is None else open_checkpoint(source)
    if checkpoint is not None and run is not None:
        _ = checkpoint.folder.root  # raises where the source is not on this machine
    numbers = None
    if checkpoint is not None:
        numbers = _numbers(root, checkpoint, sample, seed, importance, scratch_for(root, scratch, scratch_dir))
    if numbers is not None:
        steps.append(numbers.step)
    if run is not None:
        if all(step.ok for step in steps):
            with contextlib.nullcontext() if checkpoint is None else readable(checkpoint) as dense:
                steps += runtime_steps(root, dense, chosen, run)
        else:
            skipped = Diagnostic("V002", "skipped: the steps before it failed", Where(str(root)), severity="warning")
            steps.append(Step(f"runtime {run.runtime}", (skipped,)))
    rows, roles = (numbers.rows, numbers.by_role()) if numbers else ([], [])
    table = tuple(row.data() for row in rows)
    return Verification(str(root), tuple(steps), contract.runtimes, contract.outlooks, table, tuple(roles))


def _numbers(
    root: Path, checkpoint: Checkpoint, sample: int, seed: int, importance: Guide | None, scratch: Scratch
) -> Numbers:
    """Step 3. A bundle that cannot even be opened is a finding of the contract already: the step is skipped then."""
    from dsv4recipe.verifier.numbers.check import Numbers, check_numbers

    try:
        view, read = open_bundle(root)[0], read_bundle(root)
    except RecipeError as error:
        skipped = Diagnostic("V002", f"skipped: {error.diagnostics[0].message}", Where(str(root)), severity="warning")
        return Numbers(Step("numbers", (skipped,)))
    return check_numbers(view, read, checkpoint, sample=sample, seed=seed, importance=importance, scratch=scratch)
