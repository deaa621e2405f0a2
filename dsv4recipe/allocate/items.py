"""Floor 3, allocate. What is chosen together: modules → items with the formats they may take. Pure.

A module is open where its role has priors and the runtime runs at least one candidate of it; the others stay as the
base recipe has them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dsv4recipe.allocate.priors import Priors, nominal_bits
from dsv4recipe.checkpoint.graph import Checkpoint, Group
from dsv4recipe.formats import Format
from dsv4recipe.plan.make import module_of
from dsv4recipe.recipe.model import Match, Recipe, Rule
from dsv4recipe.targets import Claim, Target

Option = tuple[Format, int, float]
"""A format, the bytes of the item's modules in it, and Σ importance × error."""


@dataclass(frozen=True, slots=True)
class Item:
    """Modules that share one format. Options rise in bytes."""

    groups: tuple[Group, ...]
    options: tuple[Option, ...]


@dataclass(frozen=True)
class Sizes:
    """Bytes of a group in a format, as the plan counts them. `recipe` gives the target section."""

    recipe: Recipe
    target: Target
    checkpoint: Checkpoint
    known: dict[tuple[object, ...], int]

    def of(self, group: Group, fmt: Format) -> int:
        key = (group.slot.row.pattern, group.source, group.experts, fmt)
        if key not in self.known:
            rule = Rule("any", Match(), fmt)
            self.known[key] = module_of(Claim(group, rule, fmt), self.recipe, self.target, self.checkpoint.dims).bytes
        return self.known[key]


def candidates(
    groups: Iterable[Group], priors: Priors, target: Target, half: str, kinds: Sequence[str]
) -> dict[str, tuple[Format, ...]]:
    """The formats that each group may take, by source name; open groups only. `kinds`, if any, limits them."""
    every = [fmt for fmt in priors.candidates(half) if not kinds or fmt.kind in kinds]
    found = {}
    for group in groups:
        role = group.slot.row.role
        if role not in priors.roles:
            continue
        runs, floor = target.runs.get(role, target.runs[""]), priors.roles[role].floor
        legal = tuple(
            fmt for fmt in every if fmt.kind in runs and nominal_bits(fmt) >= floor and not fmt.problem(group.source)
        )
        if legal:
            found[group.names] = legal
    return found


def items(
    groups: Sequence[Group],
    formats: Mapping[str, tuple[Format, ...]],
    costs: Mapping[tuple[str, Format], tuple[int, float]],
    by: Mapping[str, str],
    tied: Sequence[str],
) -> tuple[Item, ...]:
    """Items of the open groups, in their order. `costs` are (bytes, weighted error) of a group in a format; `by` says
    for each role what shares a format: "layer" or "role"; `tied` are the projections of a layer's experts that the
    runtime fuses, and which therefore share one."""
    together: dict[tuple[object, ...], list[Group]] = defaultdict(list)
    for group in groups:
        together[_key(group, by[group.slot.row.role], tied)].append(group)
    made = []
    for members in together.values():
        shared = [fmt for fmt in formats[members[0].names] if all(fmt in formats[each.names] for each in members[1:])]
        options = [
            (fmt, *(sum(column) for column in zip(*(costs[each.names, fmt] for each in members), strict=True)))
            for fmt in shared
        ]
        made.append(Item(tuple(members), tuple(sorted(options, key=lambda option: (option[1], option[2])))))
    return tuple(made)


def _key(group: Group, by: str, tied: Sequence[str]) -> tuple[object, ...]:
    slot = group.slot
    unit = slot.row.projection or slot.row.pattern
    if slot.row.role == "routed-expert" and unit in tied:
        unit = " and ".join(tied)
    where = (slot.block, slot.layer) if by == "layer" else ()
    return (slot.row.role, unit, group.source.stored, *where)
