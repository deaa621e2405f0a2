"""Floor 3, allocation. Groups modules into items that get one format together. This module is pure.

A module is open if its role has priors and the runtime can run at least one candidate format. All other modules stay as
the base recipe has them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from dsv4recipe.allocation.priors import Priors
from dsv4recipe.checkpoint.graph import Checkpoint, Group
from dsv4recipe.formats import Format
from dsv4recipe.plan.make import module_of
from dsv4recipe.recipe.model import Match, Recipe, Rule
from dsv4recipe.runtimes import Claim, Target

Option = tuple[tuple[Format, ...], int, float]
"""The format of each of the item's modules, their bytes, and Σ sensitivity × error."""


@dataclass(frozen=True, slots=True)
class Item:
    """Modules that are decided together. Options are sorted by rising bytes."""

    groups: tuple[Group, ...]
    options: tuple[Option, ...]


@dataclass(frozen=True)
class Sizes:
    """Computes the bytes of a group in a format, as the plan counts them. `recipe` gives the target section."""

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
    """Returns the formats that each open group may take, by source name. `kinds`, if given, limits them."""
    every = [fmt for fmt in priors.candidates(half) if not kinds or fmt.kind in kinds]
    found = {}
    for group in groups:
        role = group.slot.row.role
        if role not in priors.roles:
            continue
        runs, floor = target.runs.get(role, target.runs[""]), priors.roles[role].floor
        legal = tuple(fmt for fmt in every if fmt.kind in runs and fmt.nominal_bits >= floor and not group.problem(fmt))
        if legal:
            found[group.names] = legal
    return found


def items(
    groups: Sequence[Group],
    formats: Mapping[str, tuple[Format, ...]],
    costs: Mapping[tuple[str, Format], tuple[int, float]],
    by: Mapping[str, str],
    target: Target,
) -> tuple[Item, ...]:
    """Returns the items of the open groups, in their order. `costs` are (bytes, weighted error) of a group in a format.
    `by` says for each role what shares a format: "layer" or "role". Experts' projections that `target` fuses are one
    item. So are all projections of a layer if the target needs a kind of format in all of them or in none."""
    together: dict[tuple[object, ...], list[Group]] = defaultdict(list)
    for group in groups:
        together[_key(group, by[group.slot.row.role], target.tied)].append(group)
    made: dict[tuple[object, ...], Item] = {}
    for key, members in together.items():
        alike = [fmt for fmt in formats[members[0].names] if all(fmt in formats[each.names] for each in members[1:])]
        options = [((fmt,) * len(members), *_total(costs[each.names, fmt] for each in members)) for fmt in alike]
        found = Item(tuple(members), tuple(sorted(options, key=lambda option: option[1:])))
        if members[0].slot.row.role != "routed-expert" or not target.whole:
            made[key] = found
        else:
            layer = ("routed-expert", "all", *key[2:])
            made[layer] = _joined(made[layer], found, target.whole) if layer in made else found
    return tuple(made.values())


def _joined(first: Item, second: Item, whole: Sequence[str]) -> Item:
    """Returns both items as one. Its options are all pairs in which each kind in `whole` appears in all modules, as one
    format, or in none."""
    options = []
    for one, two in product(first.options, second.options):
        formats = one[0] + two[0]
        if len(set(formats)) == 1 or not any(fmt.kind in whole for fmt in formats):
            options.append((formats, one[1] + two[1], one[2] + two[2]))
    return Item(first.groups + second.groups, _useful(options))


def _useful(options: Iterable[Option]) -> tuple[Option, ...]:
    """Returns the options in order of bytes, without those that are larger and no better than another of their kind."""
    kept: list[Option] = []
    for option in sorted(options, key=lambda each: (each[1], each[2])):
        kinds = {fmt.kind for fmt in option[0]}
        if not any(other[2] <= option[2] and {fmt.kind for fmt in other[0]} == kinds for other in kept):
            kept.append(option)
    return tuple(kept)


def _total(costs: Iterable[tuple[int, float]]) -> tuple[int, float]:
    found = list(costs)
    return sum(size for size, _ in found), sum(error for _, error in found)


def _key(group: Group, by: str, tied: Sequence[str]) -> tuple[object, ...]:
    slot = group.slot
    unit = slot.row.projection or slot.row.pattern
    if slot.row.role == "routed-expert" and unit in tied:
        unit = " and ".join(tied)
    where = (slot.block, slot.layer) if by == "layer" else ()
    return (slot.row.role, unit, group.source.stored, *where)
