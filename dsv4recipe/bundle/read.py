"""Floor 3, bundle. The plan of a bundle: the one inside where its headers agree to the byte, else what they show.

Reads headers and JSON files, never weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dsv4recipe.bundle.observe import observe
from dsv4recipe.bundle.open import as_planned, open_bundle, plan_inside
from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.plan.model import Plan

_JSON_LIMIT = 64 << 20


@dataclass(frozen=True)
class BundlePlan:
    """`plan` is known in full where `built` (dsv4recipe made the bundle and its headers are as planned), else it is
    what headers show; `runtimes` fit alike; `notes` says what a reader should know of how it was found."""

    plan: Plan
    built: bool
    runtimes: tuple[str, ...]
    notes: tuple[str, ...]


def read_bundle(root: Path, prefer: str = "") -> BundlePlan:
    """Returns the plan of the bundle at `root`, whoever built it. `prefer` names the runtime to take where several fit
    alike.

    A GGUF is a file; its manifest stands beside it. Raises RecipeError V020 (no bundle), C060 to C062 (no GGUF), C010
    or C011 (config.json of no known family), P023 (a checkpoint).
    """
    notes: list[str] = []
    planned = _plan_inside(root, notes)
    if planned is not None:
        if as_planned(root, planned):
            return BundlePlan(planned, True, (planned.target["runtime"],), ())
        notes.append("its headers or config.json are not as its plan says: compared by what they show")
        prefer = prefer or str(planned.target["runtime"])
    view, findings = open_bundle(root)
    notes += [f"{finding.code}: {finding.message}" for finding in findings]
    if any(entry.dtype == "F8_E8M0" for header in view.shards for entry in header.tensors):
        hint = "name it with --source, and a recipe, plan or bundle here"
        raise RecipeError("P023", "a source checkpoint, not a bundle", Where(str(root)), hint)
    seen = observe(view, prefer)
    if len(seen.runtimes) > 1 and not prefer:
        notes.append(f"its names fit {', '.join(seen.runtimes)} alike; read as {seen.plan.target['runtime']}")
    return BundlePlan(seen.plan, False, seen.runtimes, tuple(notes))


def _plan_inside(root: Path, notes: list[str]) -> Plan | None:
    try:
        return plan_inside(root)
    except (RecipeError, UnicodeDecodeError) as error:
        notes.append(f"its plan cannot be used ({str(error).splitlines()[0]}): compared by what headers show")
        return None
