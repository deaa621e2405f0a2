"""Floor 4, verifier. `verify`: the steps of the proof, in order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dsv4recipe.bundle.manifest import PLAN_NAME, read_manifest
from dsv4recipe.bundle.observe import observe
from dsv4recipe.bundle.view import open_bundle
from dsv4recipe.checkpoint.graph import open_checkpoint
from dsv4recipe.errors import Diagnostic, RecipeError, Where
from dsv4recipe.plan.canonical import load_plan
from dsv4recipe.targets import get, vmlx_sidecar
from dsv4recipe.verifier.contract import check_contract
from dsv4recipe.verifier.integrity import check_integrity
from dsv4recipe.verifier.result import Step, Verification


def verify(
    bundle: str | Path, source: str | Path | None = None, runtime: str | None = None, python: str | Path | None = None
) -> Verification:
    """Proves a bundle: integrity and contract always; with `source` its numbers; with `runtime` its load and forward.

    `python` is the interpreter that has the runtime (default: this one); with `source` too, the runtime's logits are
    compared with those of the decoded source model, where that fits in memory. Raises RecipeError V001 where there is
    no folder, and what `open_checkpoint` raises for a broken source.
    """
    root = Path(bundle)
    if not root.is_dir():
        raise RecipeError("V001", "there is no such folder", Where(str(root)))
    steps = [check_integrity(root), check_contract(root, get(_runtime_of(root)))]
    table: tuple[dict[str, Any], ...] = ()
    if source is not None:
        step, table = _numbers(root, Path(source))
        steps.append(step)
    if runtime is not None:
        if all(step.ok for step in steps):
            from dsv4recipe.verifier.runtime import probe_runtime, runtime_findings

            result = probe_runtime(
                root,
                runtime,
                python=None if python is None else Path(python),
                dense=None if source is None else Path(source),
                decoded=source is not None and (root / vmlx_sidecar.NAME).is_file(),
            )
            steps.append(Step(f"runtime {runtime}", runtime_findings(result), result.facts))
        else:
            skipped = Diagnostic("V002", "skipped: the steps before it failed", Where(str(root)), severity="warning")
            steps.append(Step(f"runtime {runtime}", (skipped,)))
    return Verification(str(root), tuple(steps), table)


def _numbers(root: Path, source: Path) -> tuple[Step, tuple[dict[str, Any], ...]]:
    """Step 3 and its table; for bundles that carry their plan."""
    path = root / PLAN_NAME
    if not path.is_file():
        message = "skipped: only a bundle with its plan can be compared with its source"
        return Step("numbers", (Diagnostic("V306", message, Where(str(path)), severity="warning"),)), ()
    from dsv4recipe.verifier.numbers import check_numbers

    plan = load_plan(path.read_text(encoding="utf-8"), str(path))
    found = check_numbers(root, plan, open_checkpoint(source))
    return found.step, tuple(row.data() for row in found.rows)


def _runtime_of(root: Path) -> str:
    """The runtime a bundle was built for: its manifest says so, else the one whose names its tensors have."""
    manifest = read_manifest(root) or {}
    recipe = manifest.get("recipe")
    target = recipe.get("target") if isinstance(recipe, dict) else None
    if isinstance(target, dict) and target.get("runtime"):
        return str(target["runtime"])
    try:
        return observe(open_bundle(root)[0]).runtimes[0]
    except RecipeError:
        return "vmlx"  # what cannot be opened is a finding of the contract, whatever the runtime
