"""Floor 5, api. Makes a plan of whatever a user names: a plan file, a bundle, or a recipe with its source."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from dsv4recipe.api.subjects import (
    AnyCheckpoint,
    as_bundle,
    as_checkpoint,
    as_importance,
    as_recipe,
    is_bundle_on_hub,
)
from dsv4recipe.bundle.places import may_be_bundle
from dsv4recipe.bundle.read import read_bundle
from dsv4recipe.checkpoint.graph import Checkpoint, open_checkpoint
from dsv4recipe.checkpoint.layout import open_release, release_of
from dsv4recipe.checkpoint.open import pinned
from dsv4recipe.checkpoint.releases import RELEASES
from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.paths import as_path
from dsv4recipe.plan.canonical import load_plan
from dsv4recipe.plan.make import make_plan
from dsv4recipe.plan.model import Plan
from dsv4recipe.plan.weighed import uses_importance
from dsv4recipe.recipe.model import Recipe

if TYPE_CHECKING:
    from dsv4recipe.importance.model import Guide


AnyPlan = Plan | Recipe | str | Path
"""A plan, a recipe to plan, or the path of a recipe, a plan file or a bundle, or the name of a shipped recipe."""


@dataclass(frozen=True)
class Side:
    """What a user named: its plan, its folder if it is a bundle, and notes on how it was read."""

    plan: Plan
    folder: Path | None
    notes: tuple[str, ...]


class Planner:
    """Makes plans with one source and one importance file; each is opened once, and only if a recipe needs it.

    Without a source, plans are made for the layout of the `release`, or of the one that the recipe pins.
    """

    def __init__(
        self,
        source: AnyCheckpoint | None = None,
        importance: Guide | str | Path | None = None,
        release: str | None = None,
        base_model: str | None = None,
    ):
        self.source = source
        self.base_model = base_model or ""
        self.importance_file = importance
        self.release = release

    @cached_property
    def importance(self) -> Guide | None:
        """Returns the importance file, if one is named."""
        return as_importance(self.importance_file)

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """Returns the source. Raises RecipeError U004 if none was named."""
        if self.source is None:
            hint = f"pass --source SRC, or --release NAME for a layout without weights: {', '.join(RELEASES)}"
            raise RecipeError("U004", "planning a recipe needs a checkpoint, but none was named", hint=hint)
        if not isinstance(self.source, str | Path):
            return as_checkpoint(self.source)
        place = self.source if isinstance(self.source, Path) else pinned(self.source, *self.pin)
        return open_checkpoint(place, self.base_model)

    @cached_property
    def pin(self) -> tuple[str, str]:
        """Returns repository and commit of the first recipe or plan, which a source on the hub without a revision
        uses."""
        return "", ""

    def pinned_by(self, model: str, revision: str) -> None:
        """Remembers the pin of a recipe or plan, unless the source is already open or pinned."""
        self.__dict__.setdefault("pin", (model, revision))

    def checkpoint_for(self, recipe: Recipe) -> Checkpoint:
        """Returns the source or, without one, the layout of the release that was named or that the recipe pins.

        Raises RecipeError U004 if neither is known, U005 if both a source and a release were named.
        """
        if self.source is not None and self.release is not None:
            raise RecipeError("U005", "--source and --release name two checkpoints", hint="leave one of them out")
        release = self.release or release_of(recipe.source.model, recipe.source.revision)
        self.pinned_by(recipe.source.model, recipe.source.revision)
        if self.source is not None or not release:
            return self.checkpoint
        if release not in self.layouts:
            self.layouts[release] = open_release(release)
        return self.layouts[release]

    @property
    def at_hand(self) -> Checkpoint | None:
        """Returns the source, or the layout that was opened for a recipe; None where neither is known."""
        return self.checkpoint if self.source is not None else next(iter(self.layouts.values()), None)

    def source_for(self, name: str) -> Checkpoint:
        """Returns the source, at the commit that the recipe called `name` pins."""
        if not may_be_bundle(as_path(name)) and not name.endswith(".json"):
            wanted = as_recipe(name).source
            self.pinned_by(wanted.model, wanted.revision)
        return self.checkpoint

    @cached_property
    def layouts(self) -> dict[str, Checkpoint]:
        """Returns the releases that were opened without their files."""
        return {}

    def plan(self, name: AnyPlan) -> Plan:
        """Returns the plan that `name` means, for a build. Raises RecipeError P022 for a bundle without a plan that can
        be built."""
        if not _names_bundle(name):
            return self.side(name).plan
        found = read_bundle(as_bundle(name))
        if not found.built:
            message = "only an unchanged bundle that dsv4recipe built holds a plan to build from"
            raise RecipeError("P022", message, Where(str(name)), "decompile it, and build the recipe", found.notes)
        self.pinned_by(found.plan.source.model, found.plan.source.revision)
        return found.plan

    def side(self, name: AnyPlan, prefer: str = "", other: bool = False) -> Side:
        """Returns one side of a comparison, which may be a bundle of any tool. `prefer` is the runtime if its names
        match several. With an `other` side, the importance file may be for that one alone."""
        if isinstance(name, Plan):
            self.pinned_by(name.source.model, name.source.revision)
            return Side(name, None, ())
        if _names_bundle(name):
            root = as_bundle(name)
            found = read_bundle(root, prefer)
            return Side(found.plan, root, found.notes)
        if not isinstance(name, Recipe) and Path(name).suffix == ".json":
            text = as_path(name).read_text(encoding="utf-8", errors="replace")
            return self.side(load_plan(text, str(name)))
        recipe = as_recipe(name)
        given = None if other and not uses_importance(recipe) else self.importance
        return Side(make_plan(recipe, self.checkpoint_for(recipe), given), None, ())

    def sides(self, before: AnyPlan, after: AnyPlan) -> tuple[Side, Side]:
        """Returns both sides; if the runtime of one is known, it helps to read the other."""
        if _names_bundle(before) and not _names_bundle(after):
            known = self.side(after, other=True)
            return self.side(before, known.plan.target["runtime"], other=True), known
        known = self.side(before, other=True)
        return known, self.side(after, known.plan.target["runtime"], other=True)


def _names_bundle(name: AnyPlan) -> TypeGuard[str | Path]:
    return isinstance(name, str | Path) and (is_bundle_on_hub(name) or may_be_bundle(as_path(name)))
