"""Floor 5, api. Defines what public functions accept: an opened object, or a path or name, which it opens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dsv4recipe.checkpoint.graph import Checkpoint, open_checkpoint
from dsv4recipe.checkpoint.other_things import snapshot_in
from dsv4recipe.paths import as_path
from dsv4recipe.recipe.load import load_recipe
from dsv4recipe.recipe.model import Recipe

if TYPE_CHECKING:
    from dsv4recipe.importance.model import Guide

AnyRecipe = Recipe | str | Path
"""A recipe, the path of one, or the name of a shipped one."""
AnyCheckpoint = Checkpoint | str | Path
"""An opened checkpoint, the path of its folder, or hf://org/repo@revision."""


def as_recipe(recipe: AnyRecipe) -> Recipe:
    """Returns the recipe itself, loaded if it was named. Raises RecipeError as `load_recipe` does."""
    return recipe if isinstance(recipe, Recipe) else load_recipe(str(recipe))


def as_checkpoint(checkpoint: AnyCheckpoint) -> Checkpoint:
    """Returns the checkpoint itself, opened if it was named. Raises RecipeError as `open_checkpoint` does."""
    return checkpoint if isinstance(checkpoint, Checkpoint) else open_checkpoint(checkpoint)


def as_bundle(bundle: str | Path) -> Path:
    """Returns the path of a bundle. For one on the hub (hf://org/repo@revision) it is a folder with its headers and
    small files.

    Raises RecipeError U016, H001 to H009, and V020 if the repository holds no bundle.
    """
    if not str(bundle).startswith("hf:/"):
        return snapshot_in(as_path(bundle))
    from dsv4recipe.publish.remote import address_of, mirror

    address = address_of(bundle)
    return snapshot_in(as_path(bundle)) if address is None else mirror(address).root


def is_bundle_on_hub(name: object) -> bool:
    """Returns whether a name is that of a bundle on the hub, and not of a recipe or a checkpoint."""
    if not str(name).startswith("hf:/") or str(name).partition("@")[0].endswith((".yaml", ".yml")):
        return False
    from dsv4recipe.publish.remote import address_of, holds_bundle

    address = address_of(name)
    return address is not None and holds_bundle(address)


def as_importance(importance: Guide | str | Path | None) -> Guide | None:
    """Returns an importance file, read if a path was given. Raises RecipeError I0xx."""
    if importance is None or not isinstance(importance, str | Path):
        return importance
    from dsv4recipe.records.read import load_guide

    return load_guide(as_path(importance))
