"""Floor 3, advice. Holds what a lint may look at: a recipe, its plan and its checkpoint. This module is pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.errors import Where
from dsv4recipe.plan.model import Plan, PlannedModule
from dsv4recipe.recipe.model import Recipe, Rule
from dsv4recipe.runtimes import Target, get


@dataclass(frozen=True)
class Case:
    """A planned recipe with its checkpoint. `measured` is the digest of the plan that its evidence was measured on, or
    "" without evidence."""

    recipe: Recipe
    plan: Plan
    checkpoint: Checkpoint
    measured: str = ""

    @cached_property
    def target(self) -> Target:
        return get(self.plan.target["runtime"], self.plan.source.family)

    @cached_property
    def rules(self) -> dict[str, Rule]:
        return {rule.id: rule for rule in self.recipe.rules}

    @cached_property
    def by_rule(self) -> dict[str, list[PlannedModule]]:
        """Returns the modules that each rule claimed, in the order of the rules."""
        found: dict[str, list[PlannedModule]] = {rule.id: [] for rule in self.recipe.rules}
        for module in self.plan.modules:
            found[module.rule].append(module)
        return found

    def place(self, rule: str, *fields: str) -> Where:
        """Returns where a field of a rule is written: the first of `fields` that it has, else its id."""
        written = dict(self.rules[rule].fields)
        return next((written[name] for name in fields if name in written), self.rules[rule].where)
