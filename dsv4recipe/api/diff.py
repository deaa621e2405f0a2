"""Floor 5, api. `diff` compares two plans, recipes or bundles. Reads headers and small files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dsv4recipe.api.named import AnyPlan, Planner
from dsv4recipe.api.subjects import AnyCheckpoint
from dsv4recipe.bundle.open import side_differences
from dsv4recipe.plan.diff import PlanDiff
from dsv4recipe.plan.diff import diff as plan_diff

if TYPE_CHECKING:
    from dsv4recipe.importance.model import Guide


def diff(
    before: AnyPlan,
    after: AnyPlan,
    *,
    checkpoint: AnyCheckpoint | None = None,
    release: str | None = None,
    importance: Guide | str | Path | None = None,
    on_note: Callable[[str], None] = lambda note: None,
) -> PlanDiff:
    """Returns what `after` changes compared with `before`, grouped by module pattern. Each side is a plan, a recipe, or
    the path of a recipe, a plan file or a bundle of any tool. Between two bundles, side files are compared too.


    `checkpoint`, `release` and `importance` are for sides that are recipes, as in `make_plan`. `on_note` is called with
    notes on how a bundle was read. Raises RecipeError as `make_plan` and `read_bundle` do.
    """
    old, new = Planner(checkpoint, importance, release).sides(before, after)
    for name, side in ((before, old), (after, new)):
        for note in side.notes:
            on_note(f"{name}: {note}")
    found = plan_diff(old.plan, new.plan)
    if old.folder and new.folder:
        return replace(found, facts=found.facts + side_differences(old.folder, new.folder))
    return found
