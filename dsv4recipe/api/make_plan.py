"""Floor 5, api. `make_plan` makes a plan, exact to the byte, from recipe and checkpoint. Reads headers, never
weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dsv4recipe.api.named import Planner
from dsv4recipe.api.subjects import AnyCheckpoint, AnyRecipe, as_importance, as_recipe
from dsv4recipe.importance.planned import PlannedImportance
from dsv4recipe.plan.make import make_plan as plan_of
from dsv4recipe.plan.model import Plan

if TYPE_CHECKING:
    from dsv4recipe.importance.model import Guide


def make_plan(
    recipe: AnyRecipe,
    checkpoint: AnyCheckpoint | None = None,
    *,
    release: str | None = None,
    importance: Guide | PlannedImportance | str | Path | None = None,
) -> Plan:
    """Returns what the recipe makes of every tensor of the checkpoint, to the byte.

    Without a checkpoint, the layout of `release`, or of the release that the recipe pins, is planned; it ships with the
    package. `importance` is the file for formats that ask for one. Raises RecipeError with every problem at once: T0xx
    (the runtime cannot accept the recipe), P0xx (tensors without a rule, rules without a tensor), I01x (the importance
    file does not fit), U004 (no checkpoint), U005 (a checkpoint and a release).
    """
    loaded = as_recipe(recipe)
    given = importance if isinstance(importance, PlannedImportance) else as_importance(importance)
    return plan_of(loaded, Planner(checkpoint, None, release).checkpoint_for(loaded), given)
