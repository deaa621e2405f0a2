"""Floor 4, verifier. `verify` runs the steps of the proof in order."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsv4recipe.bundle.open import open_bundle
from dsv4recipe.bundle.places import places_of
from dsv4recipe.bundle.read import read_bundle
from dsv4recipe.checkpoint.graph import Checkpoint, open_checkpoint
from dsv4recipe.errors import Diagnostic, RecipeError, Where
from dsv4recipe.hub.scratch import Scratch
from dsv4recipe.verifier.contract.check import check_any
from dsv4recipe.verifier.integrity import check_integrity
from dsv4recipe.verifier.receipt import Receipt
from dsv4recipe.verifier.result import Step, Verification
from dsv4recipe.verifier.runtime.dense_source import readable
from dsv4recipe.verifier.runtime.step import RuntimeRun, choices, runtime_steps

if TYPE_CHECKING:
    from dsv4recipe.importance.model import Guide
    from dsv4recipe.verifier.numbers.check import Numbers

Listener = Callable[[dict[str, Any]], None]


def prove(
    root: Path, source: str | Path | None, run: RuntimeRun | None, sample: int, seed: int, importance: Guide | None,
    scratch: Scratch, receipt: Receipt | None, on_event: Listener,
) -> Verification:  # fmt: skip
    """Runs the steps of the proof that `dsv4recipe.verify` describes, with its arguments. Raises as it does. `receipt`
    is what an earlier proof hashed.

    `on_event` hears of each step when it begins ("step", `name`), how far it is ("checked", `done` of `of`), and what
    it found ("step_done", `step`, with `outlooks` or `roles`).
    """
    if not places_of(root).there(root):
        raise RecipeError("V001", "there is no such bundle", Where(str(root)))
    contract = check_any(root)
    chosen = choices(root, contract.runtimes, run) if run else ()
    on_event({"event": "step", "name": "integrity"})
    steps = [check_integrity(root, receipt=receipt, on_bytes=_counted(on_event, "integrity", "bytes"))]
    on_event({"event": "step_done", "step": steps[0]})
    steps.append(contract.step)
    on_event({"event": "step_done", "step": contract.step, "outlooks": contract.outlooks})
    checkpoint = None if source is None else open_checkpoint(source)
    if checkpoint is not None and run is not None:
        _ = checkpoint.folder.root  # raises where the source is not on this machine
    numbers = None
    if checkpoint is not None:
        on_event({"event": "step", "name": "numbers"})
        told = _counted(on_event, "numbers", "tensors")
        numbers = _numbers(root, checkpoint, sample, seed, importance, scratch, told)
    if numbers is not None:
        steps.append(numbers.step)
        on_event({"event": "step_done", "step": numbers.step, "roles": tuple(numbers.by_role())})
    if run is not None:
        if all(step.ok for step in steps):
            with contextlib.nullcontext() if checkpoint is None else readable(checkpoint) as dense:
                steps += runtime_steps(root, dense, chosen, run, on_event)
        else:
            skipped = Diagnostic(
                "V002", "skipped, because the steps before it failed", Where(str(root)), severity="warning"
            )
            steps.append(Step(f"runtime {run.runtime}", (skipped,)))
            on_event({"event": "step_done", "step": steps[-1]})
    rows, roles = (numbers.rows, numbers.by_role()) if numbers else ([], [])
    table = tuple(row.data() for row in rows)
    return Verification(str(root), tuple(steps), contract.runtimes, contract.outlooks, table, tuple(roles))


def _counted(on_event: Listener, name: str, unit: str) -> Callable[[int, int], None]:
    return lambda done, of: on_event({"event": "checked", "name": name, "done": done, "of": of, "unit": unit})


def _numbers(
    root: Path, checkpoint: Checkpoint, sample: int, seed: int, importance: Guide | None, scratch: Scratch,
    told: Callable[[int, int], None],
) -> Numbers:  # fmt: skip
    """Runs step 3. It is skipped if the bundle cannot be opened, which is already a finding of the contract."""
    from dsv4recipe.verifier.numbers.check import Numbers, check_numbers

    try:
        view, read = open_bundle(root)[0], read_bundle(root)
    except RecipeError as error:
        skipped = Diagnostic("V002", f"skipped: {error.diagnostics[0].message}", Where(str(root)), severity="warning")
        return Numbers(Step("numbers", (skipped,)))
    return check_numbers(
        view, read, checkpoint, sample=sample, seed=seed, importance=importance, scratch=scratch, on_tensors=told
    )
