"""Floor 3, bundle. Returns the plan of a bundle: the one inside if the headers match it exactly, else what they show.

It reads headers and JSON files, never weights.
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
    """The plan of a bundle. It is complete if `built` (dsv4recipe made the bundle and its headers are as planned);
    otherwise it is what the headers show. `runtimes` match alike. `notes` say how the plan was found."""

    plan: Plan
    built: bool
    runtimes: tuple[str, ...]
    notes: tuple[str, ...]


def read_bundle(root: Path, prefer: str = "") -> BundlePlan:
    """Returns the plan of any bundle at `root`. `prefer` is the runtime to choose if several match alike.


    A GGUF is a file with its manifest beside it. Raises RecipeError V020 (not a bundle), C060 to C062 (not a GGUF),
    C010 or C011 (config.json of no known family), P023 (a checkpoint).
    """
    notes: list[str] = []
    planned = _plan_inside(root, notes)
    if planned is not None:
        if as_planned(root, planned):
            return BundlePlan(planned, True, (planned.target["runtime"],), ())
        notes.append("its headers or config.json differ from its plan, so it is compared by what they show")
        prefer = prefer or str(planned.target["runtime"])
    view, findings = open_bundle(root)
    notes += [f"{finding.code}: {finding.message}" for finding in findings]
    if any(entry.dtype == "F8_E8M0" for header in view.shards for entry in header.tensors):
        hint = "pass it with --source, and pass a recipe, plan or bundle here"
        raise RecipeError("P023", "this is a source checkpoint, not a bundle", Where(str(root)), hint)
    seen = observe(view, prefer)
    if len(seen.runtimes) > 1 and not prefer:
        notes.append(
            f"its names match {', '.join(seen.runtimes)} alike, so it is read as {seen.plan.target['runtime']}"
        )
    return BundlePlan(seen.plan, False, seen.runtimes, tuple(notes))


def _plan_inside(root: Path, notes: list[str]) -> Plan | None:
    try:
        return plan_inside(root)
    except (RecipeError, UnicodeDecodeError) as error:
        notes.append(f"its plan cannot be used ({str(error).splitlines()[0]}), so it is compared by what headers show")
        return None
