"""Floor 5, api. `decompile` turns any bundle into a readable recipe that plans to the same bundle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dsv4recipe.api.subjects import AnyCheckpoint, as_bundle, as_checkpoint
from dsv4recipe.bundle.decompile import check_against, decompile_bundle
from dsv4recipe.plan.make import make_plan
from dsv4recipe.recipe.load import parse_recipe
from dsv4recipe.recipe.model import Recipe


@dataclass(frozen=True)
class Decompiled:
    """The text of a recipe, the parsed recipe, and notes on what the bundle does not show."""

    text: str
    recipe: Recipe
    notes: tuple[str, ...]


def decompile(
    bundle: str | Path,
    *,
    name: str = "",
    model: str = "",
    runtime: str = "",
    checkpoint: AnyCheckpoint | None = None,
    file: str = "",
) -> Decompiled:
    """Returns a recipe that plans to the same modules, formats and bytes as the bundle. Reads headers, never weights.

    `name` is the recipe's (default: the bundle's). `model` is ORG/NAME of its checkpoint, if the bundle does not say
    it. `runtime` chooses if the tensor names match several. With a `checkpoint`, the recipe is planned with it and
    compared; differences become notes. `file` is the name used for places in the recipe. Raises RecipeError T001, P030
    to P033, and what `open_bundle` raises.
    """
    root = as_bundle(bundle)
    name = name or root.name
    text, notes = decompile_bundle(root, name, model, runtime)
    recipe = parse_recipe(text, file or f"{name}.yaml")
    if checkpoint is not None:
        notes += check_against(root, make_plan(recipe, as_checkpoint(checkpoint)))
    return Decompiled(text, recipe, notes)
