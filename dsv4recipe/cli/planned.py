"""Floor 5, cli. A plan from whatever a user names: a plan file, a bundle of ours, or a recipe with its source."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from dsv4recipe import load_recipe, make_plan, open_checkpoint
from dsv4recipe.bundle.manifest import PLAN_NAME
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.plan.canonical import load_plan
from dsv4recipe.plan.model import Plan


class Planner:
    """Makes plans against one source, which is opened once and only if a recipe needs it."""

    def __init__(self, source: Path | None):
        self.source = source

    @cached_property
    def checkpoint(self) -> Checkpoint:
        if self.source is None:
            raise RecipeError("U004", "a recipe is planned against a checkpoint", hint="add --source SRC")
        return open_checkpoint(self.source)

    def plan(self, name: str) -> Plan:
        """The plan that `name` means. Raises RecipeError P022 for a folder without a plan."""
        path = Path(name)
        if path.is_dir():
            path = path / PLAN_NAME
            if not path.is_file():
                raise RecipeError(
                    "P022", f"the folder holds no {PLAN_NAME}", Where(name), "name a recipe, plan or bundle"
                )
        if path.suffix == ".json":
            return load_plan(path.read_text(encoding="utf-8"), str(path))
        return make_plan(load_recipe(name), self.checkpoint)
