"""Floor 3, allocation. Finds what a budget buys, from a base recipe, its checkpoint and the errors. This module is
pure.

objective = Σ sensitivity(module) × error(module, format), error = Σ(ŵ−w)² / Σw² over the module's weights. Bytes are
those of the plan: all tensors, without safetensors headers and side files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from dsv4recipe.allocation.bands import settle
from dsv4recipe.allocation.error_table import ErrorTable
from dsv4recipe.allocation.items import Item, Sizes, items
from dsv4recipe.allocation.priors import Priors
from dsv4recipe.allocation.solve import bound, limits, solve
from dsv4recipe.checkpoint.graph import Checkpoint, Group
from dsv4recipe.errors import RecipeError
from dsv4recipe.formats import Format
from dsv4recipe.plan.model import Plan
from dsv4recipe.recipe.model import Recipe
from dsv4recipe.runtimes import Target, get
from dsv4recipe.units import human_size

_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Spent:
    """What a budget buys: the format of every open module by source name, the bytes of all tensors, the objective, and
    a lower bound of the objective for any choice within the budget."""

    formats: Mapping[str, Format]
    bytes: int
    error: float
    bound: float

    @property
    def gap(self) -> float:
        """Returns how far the objective may be from the best one, as a share of the bound."""
        return self.error / self.bound - 1 if self.bound > 0 else 0.0


@dataclass(frozen=True)
class Problem:
    """The whole problem. `base` is the plan of `recipe`. `formats` and `importance` are by source name, for open
    modules only. `why` says where the importance comes from."""

    recipe: Recipe
    checkpoint: Checkpoint
    base: Plan
    priors: Priors
    formats: Mapping[str, tuple[Format, ...]]
    importance: Mapping[str, float]
    why: str
    table: ErrorTable

    @property
    def target(self) -> Target:
        """Returns the target runtime."""
        return get(self.recipe.target.runtime, self.checkpoint.family.name)

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """Returns the open groups, in the checkpoint's order."""
        return tuple(group for group in self.checkpoint.groups if group.names in self.importance)

    @cached_property
    def fixed(self) -> int:
        """Returns the bytes of everything that is not allocated."""
        return sum(module.bytes for module in self.base.modules if module.sources not in self.importance)

    @cached_property
    def sizes(self) -> Sizes:
        """Returns the sizes of groups in formats."""
        return Sizes(self.recipe, self.target, self.checkpoint, {})

    @cached_property
    def costs(self) -> dict[tuple[str, Format], tuple[int, float]]:
        """Returns (bytes, importance × error) of every open group in every format that it may take.

        Raises RecipeError A007 if the table of errors lacks some.
        """
        found, missing = {}, []
        for group in self.groups:
            for fmt in self.formats[group.names]:
                error = self.table.of(group, fmt)
                if error is None:
                    missing.append(f"{group.names} as {fmt.error_key}")
                else:
                    found[group.names, fmt] = self.sizes.of(group, fmt), self.importance[group.names] * error
        if missing:
            message = f"the table of errors lacks {len(missing):,} of the errors that are needed"
            raise RecipeError("A007", message, hint="measure them, or leave out these formats", notes=missing[:_SHOWN])
        return found

    @cached_property
    def items(self) -> tuple[Item, ...]:
        """Returns the items that share formats as the priors say."""
        by = {role: prior.by for role, prior in self.priors.roles.items()}
        return items(self.groups, self.formats, self.costs, by, self.target)

    @cached_property
    def finest(self) -> tuple[Item, ...]:
        """Returns the finest items, where every layer is decided by itself. The bound is computed over these."""
        by = dict.fromkeys(self.priors.roles, "layer")
        return items(self.groups, self.formats, self.costs, by, self.target)

    @cached_property
    def limits(self) -> tuple[int, int]:
        """Returns the smallest budget for which there is a choice, and the largest that still lowers the objective."""
        low, high = limits([_numbers(item) for item in self.items])
        return self.fixed + low, self.fixed + high

    def spend(self, budget: int, readable: bool = True) -> Spent:
        """Returns the best choice within `budget` tensor bytes. `readable` puts equal formats into runs of layers.

        Raises RecipeError A001 below the smallest budget. A budget that is larger than useful is not used up.
        """
        low, high = self.limits
        if budget < low:
            message = f"the budget of {human_size(budget)} is too small even for the lowest allowed bits"
            raise RecipeError("A001", message, hint=self.range_words(), notes=_largest(self.items, self.fixed))
        choice = solve([_numbers(item) for item in self.items], budget - self.fixed).choice
        if readable:
            importance = [sum(self.importance[group.names] for group in item.groups) for item in self.items]
            choice = settle(self.items, choice, importance)
        picked = [item.options[c] for item, c in zip(self.items, choice, strict=True)]
        return Spent(
            {
                group.names: fmt
                for item, option in zip(self.items, picked, strict=True)
                for group, fmt in zip(item.groups, option[0], strict=True)
            },
            self.fixed + sum(option[1] for option in picked),
            sum(option[2] for option in picked),
            bound([_numbers(item) for item in self.finest], min(budget, high) - self.fixed),
        )

    def range_words(self) -> str:
        """Returns the range of useful budgets, in words."""
        low, high = self.limits
        return f"the smallest budget is {human_size(low)}; more than {human_size(high)} gains nothing"

    def error_of(self, plan: Plan) -> float | None:
        """Returns the objective of any plan of the same checkpoint, or None if the table lacks one of its formats."""
        formats = {module.sources: module.format for module in plan.modules}
        errors = [self.table.of(group, formats[group.names]) for group in self.groups]
        weights = [self.importance[group.names] for group in self.groups]
        return None if None in errors else sum(w * (e or 0.0) for w, e in zip(weights, errors, strict=True))


def _numbers(item: Item) -> list[tuple[int, float]]:
    return [option[1:] for option in item.options]


def _largest(items_: tuple[Item, ...], fixed: int) -> list[str]:
    """Returns lines that say where the bytes of the smallest choice go."""
    by_role: dict[str, int] = {}
    for item in items_:
        role = item.groups[0].slot.row.role
        by_role[role] = by_role.get(role, 0) + item.options[0][1]
    rows = sorted(by_role.items(), key=lambda row: -row[1])[:4]
    return [f"{role}: at least {human_size(size)}" for role, size in rows] + [f"not allocated: {human_size(fixed)}"]
