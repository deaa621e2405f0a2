"""Floor 4, verifier. `verify`: the steps of the proof, in order."""

from __future__ import annotations

from pathlib import Path

from dsv4recipe.bundle.manifest import read_manifest
from dsv4recipe.errors import Diagnostic, RecipeError, Where
from dsv4recipe.targets import get
from dsv4recipe.verifier.contract import check_contract
from dsv4recipe.verifier.integrity import check_integrity
from dsv4recipe.verifier.result import Step, Verification


def verify(
    bundle: str | Path, source: str | Path | None = None, runtime: str | None = None, python: str | Path | None = None
) -> Verification:
    """Proves a bundle: integrity and contract always, the runtime step where `runtime` names a loader.

    `python` is the interpreter that has the runtime (default: this one); with `source` the runtime's logits are
    compared with those of the decoded source model, which must fit in memory. Raises RecipeError V001 where there is
    no folder.
    """
    root = Path(bundle)
    if not root.is_dir():
        raise RecipeError("V001", "there is no such folder", Where(str(root)))
    steps = [check_integrity(root), check_contract(root, get(_runtime_of(root)))]
    if runtime is not None:
        if all(step.ok for step in steps):
            from dsv4recipe.verifier.runtime import probe_runtime, runtime_findings

            result = probe_runtime(
                root,
                runtime,
                python=None if python is None else Path(python),
                dense=None if source is None else Path(source),
            )
            steps.append(Step(f"runtime {runtime}", runtime_findings(result), result.facts))
        else:
            skipped = Diagnostic("V002", "skipped: the steps before it failed", Where(str(root)), severity="warning")
            steps.append(Step(f"runtime {runtime}", (skipped,)))
    return Verification(str(root), tuple(steps))


def _runtime_of(root: Path) -> str:
    """The runtime a bundle was built for: its manifest says so."""
    manifest = read_manifest(root) or {}
    recipe = manifest.get("recipe")
    target = recipe.get("target") if isinstance(recipe, dict) else None
    return str(target.get("runtime", "vmlx")) if isinstance(target, dict) else "vmlx"
