"""Floor 5, api. `explain` says which rule decided a tensor, why others did not, and all its names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dsv4recipe.api.named import Planner
from dsv4recipe.api.subjects import AnyCheckpoint, AnyRecipe, as_recipe
from dsv4recipe.plan.explain import Explanation
from dsv4recipe.plan.explain import explain as explained

if TYPE_CHECKING:
    from dsv4recipe.importance.model import Guide


def explain(
    recipe: AnyRecipe,
    name: str,
    *,
    checkpoint: AnyCheckpoint | None = None,
    release: str | None = None,
    importance: Guide | str | Path | None = None,
) -> Explanation:
    """Explains why the tensor `name` becomes what the recipe makes of it. `name` may be a source tensor, a module path
    or a name on disk, in any runtime's dialect. The other arguments are those of `make_plan`.

    Raises RecipeError P040 if no dialect knows the name, and what `make_plan` raises.
    """
    loaded, planner = as_recipe(recipe), Planner(checkpoint, importance, release)
    return explained(loaded, planner.checkpoint_for(loaded), name, planner.importance)
