"""Floor 3, plan. Two variants of one base: what each changes alone, and where both do. This module is pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from dsv4recipe.plan.diff import PlanDiff, diff
from dsv4recipe.plan.model import Plan, PlannedModule


@dataclass(frozen=True, slots=True)
class ThreeWay:
    """`mine` and `theirs` are what one side changes and the other leaves as it is in the base. `alike` are modules that
    both change in the same way. `conflicts` compares mine with theirs where both change and not in the same way."""

    mine: PlanDiff
    theirs: PlanDiff
    alike: PlanDiff
    conflicts: PlanDiff

    @property
    def conflicting(self) -> bool:
        conflicts = self.conflicts
        return bool(conflicts.added or conflicts.removed or conflicts.changed)

    def data(self) -> dict[str, Any]:
        """Returns the document of `diff --base --json`."""
        return {
            "format_version": 1,
            "conflicting": self.conflicting,
            "mine": self.mine.data(),
            "theirs": self.theirs.data(),
            "alike": self.alike.data(),
            "conflicts": self.conflicts.data(),
        }


def three_way(base: Plan, mine: Plan, theirs: Plan) -> ThreeWay:
    """Returns how two plans that begin at one base go together, module by module."""
    sides = [_by_source(plan) for plan in (base, mine, theirs)]
    alone: tuple[set[str], set[str], set[str], set[str]] = (set(), set(), set(), set())
    for key in set().union(*sides):
        old, one, other = (_stored(side.get(key)) for side in sides)
        if one == old != other:
            alone[1].add(key)
        elif one != old == other:
            alone[0].add(key)
        elif one != old:
            alone[2 if one == other else 3].add(key)
    return ThreeWay(
        mine=diff(_only(base, alone[0]), _only(mine, alone[0])),
        theirs=diff(_only(base, alone[1]), _only(theirs, alone[1])),
        alike=diff(_only(base, alone[2]), _only(mine, alone[2])),
        conflicts=diff(_only(mine, alone[3]), _only(theirs, alone[3])),
    )


def _by_source(plan: Plan) -> dict[str, PlannedModule]:
    return {module.sources: module for module in plan.modules}


def _stored(module: PlannedModule | None) -> object:
    """Returns what is stored of a module, whatever it is called: its parts and its format."""
    return None if module is None else (module.format, module.parts, module.per_expert)


def _only(plan: Plan, keys: Iterable[str]) -> Plan:
    wanted = frozenset(keys)
    return replace(plan, modules=tuple(module for module in plan.modules if module.sources in wanted), shards=())
