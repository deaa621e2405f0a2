"""Floor 3, plan. Tests which groups a rule matches, and finds the nearest ones if it matches none. This module is
pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dsv4recipe.checkpoint.family import Slot
from dsv4recipe.checkpoint.graph import Group
from dsv4recipe.recipe.globs import compile_glob
from dsv4recipe.recipe.model import Match

Test = Callable[[Group], int]
"""How many members of a group one condition accepts: none, all, or (for globs over source names) some."""


@dataclass(frozen=True)
class Matcher:
    """Holds a rule's conditions as tests on groups. `layer_sets` are the family's, resolved."""

    match: Match
    layer_sets: Mapping[str, frozenset[int]]
    path_of: Callable[[Slot], str | None]

    def tests(self) -> dict[str, Test]:
        match = self.match
        found: dict[str, Test] = {}
        if match.role:
            found["role"] = _all_or_none(lambda g: g.slot.row.role in match.role)
        if match.projection:
            found["projection"] = _all_or_none(lambda g: g.slot.row.projection in match.projection)
        if match.block:
            found["block"] = _all_or_none(lambda g: g.slot.block in match.block)
        if match.stored:
            found["stored"] = _all_or_none(lambda g: g.source.stored in match.stored)
        if match.layers or match.layer_sets:
            layers = set(match.layers).union(*(self.layer_sets.get(name, frozenset()) for name in match.layer_sets))
            found["layers"] = _all_or_none(lambda g: g.slot.layer in layers)
        if match.tensor:
            names = [compile_glob(glob) for glob in match.tensor]
            found["tensor"] = lambda g: sum(any(hit(t.name) for hit in names) for t in g.members)
        if match.module:
            paths = [compile_glob(glob) for glob in match.module]
            found["module"] = _all_or_none(lambda g: any(hit(self.path_of(g.slot) or "") for hit in paths))
        return found


def _all_or_none(test: Callable[[Group], bool]) -> Test:
    return lambda group: len(group.members) if test(group) else 0


def matched_members(tests: Mapping[str, Test], group: Group) -> int:
    """Returns how many members of the group all conditions accept; cheap conditions are tested first."""
    accepted = len(group.members)
    for test in tests.values():
        accepted = min(accepted, test(group))
        if not accepted:
            return 0
    return accepted
