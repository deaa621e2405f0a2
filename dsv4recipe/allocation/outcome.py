"""Floor 3, allocation. Reports the result in figures: by role compared with the base recipe, and as a curve. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dsv4recipe.allocation.budget import Budget
from dsv4recipe.allocation.problem import Problem, Spent
from dsv4recipe.allocation.write import Written
from dsv4recipe.formats import Format

POINTS = 25


@dataclass(frozen=True, slots=True)
class Side:
    """One role under one recipe: the bytes, Σ error and Σ sensitivity × error of its modules. The sums are None if an
    error is not known."""

    bytes: int
    error: float | None
    weighted: float | None

    def data(self) -> dict[str, Any]:
        return {"bytes": self.bytes, "error": self.error, "weighted": self.weighted}


@dataclass(frozen=True, slots=True)
class RoleRow:
    """A role before (in the base recipe) and after."""

    role: str
    modules: int
    weights: int
    before: Side
    after: Side

    def data(self) -> dict[str, Any]:
        sides = {"before": self.before.data(), "after": self.after.data()}
        return {"role": self.role, "modules": self.modules, "weights": self.weights, **sides}


@dataclass(frozen=True, slots=True)
class Point:
    """One budget of the curve: how much of it is used, the objective, and the bound."""

    bytes: int
    bits_per_weight: float
    error: float
    bound: float

    def data(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def curve(problem: Problem, points: int = POINTS) -> tuple[Point, ...]:
    """Returns budgets and their errors, in even steps from the smallest budget to the largest useful one."""
    low, high = problem.limits
    budgets = [low + (high - low) * step // (points - 1) for step in range(points)]
    return tuple(_point(problem, problem.spend(budget, readable=False)) for budget in dict.fromkeys(budgets))


def _point(problem: Problem, spent: Spent) -> Point:
    return Point(spent.bytes, round(spent.bytes * 8 / problem.base.weights, 4), spent.error, spent.bound)


def by_role(problem: Problem, spent: Spent) -> tuple[RoleRow, ...]:
    """Returns one row per allocated role, largest first; the last row is their sum."""
    base = {module.sources: module.format for module in problem.base.modules}
    roles = list(dict.fromkeys(group.slot.row.role for group in problem.groups))
    rows = [_row(problem, role, base, spent.formats) for role in roles]
    rows.sort(key=lambda row: -row.before.bytes)
    return (*rows, _row(problem, "", base, spent.formats))


def _row(problem: Problem, role: str, before: Mapping[str, Format], after: Mapping[str, Format]) -> RoleRow:
    groups = [group for group in problem.groups if role in ("", group.slot.row.role)]
    modules = {module.sources: module for module in problem.base.modules}
    weights = sum(modules[group.names].weights for group in groups)
    sides = []
    for formats in (before, after):
        errors = [problem.table.of(group, formats[group.names]) for group in groups]
        known = [error for error in errors if error is not None]
        whole = len(known) == len(errors)
        pairs = zip(groups, known, strict=False)
        sides.append(
            Side(
                sum(problem.sizes.of(group, formats[group.names]) for group in groups),
                sum(known) if whole else None,
                sum(problem.importance[group.names] * error for group, error in pairs) if whole else None,
            )
        )
    return RoleRow(role or "all", len(groups), weights, *sides)


def allocation_data(
    problem: Problem,
    budget: Budget | None,
    spent: Spent | None,
    written: Written | None,
    curved: bool,
    quality: str = "",
) -> dict[str, Any]:
    """Returns the document that `allocate --json` prints. `curved` adds the curve, which costs one solution per point.
    `quality` says what the base recipe loses on text, and what that was measured on."""
    low, high = problem.limits
    found: dict[str, Any] = {
        "format_version": 1,
        "base": {
            "name": problem.recipe.name,
            "bytes": problem.base.tensor_bytes,
            "error": problem.error_of(problem.base),
        },
        "evidence": {
            "kind": problem.table.kind,
            "errors": problem.table.words(),
            "importance": problem.why,
            "quality": quality,
        },
        "smallest": low,
        "largest": high,
    }
    if curved:
        found["curve"] = [point.data() for point in curve(problem)]
    if budget is not None and spent is not None:
        found |= {
            "budget": budget.bytes,
            "bytes": spent.bytes,
            "error": spent.error,
            "bound": spent.bound,
            "roles": [row.data() for row in by_role(problem, spent)],
        }
    if written is not None:
        found |= {"plan": written.plan.digest, "rules": [rule.id for rule in written.recipe.rules]}
    return found
