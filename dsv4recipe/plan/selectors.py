"""Floor 3, plan. Finds the shortest conditions that select a set of modules of one role. This module is pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dsv4recipe.checkpoint.graph import Group
from dsv4recipe.recipe.globs import compile_glob
from dsv4recipe.recipe.layers import compact
from dsv4recipe.recipe.model import Match

Action = object
"""What a rule does with a group; only equality is used."""


@dataclass(frozen=True)
class Selection:
    """The groups of one role that one rule takes: `match` without the role, and what the rule does."""

    role: str
    match: Match
    action: Action


def exceptions(
    role: str, actions: Sequence[tuple[Group, Action]], default: Action, sets: Mapping[str, frozenset[int]]
) -> Iterator[Selection]:
    """Yields selections of the groups whose action is not `default`, in the checkpoint's order of their first groups.

    Projections (or source patterns, if a role has none) that are taken on the same layers are taken together.
    """
    groups = [group for group, _ in actions]
    taken: dict[Action, list[Group]] = {}
    for group, action in actions:
        if action != default:
            taken.setdefault(action, []).append(group)
    for action, picked in taken.items():
        layered = [group for group in picked if group.slot.layer is not None]
        simple = _simple(layered, groups, sets)
        if simple is not None:
            yield Selection(role, Match(**dict(simple)), action)  # type: ignore[arg-type]
            picked = [group for group in picked if group.slot.layer is None]  # noqa: PLW2901 - the rest
        for fields in _by_unit(picked, groups, sets):
            yield Selection(role, Match(**fields), action)


def _simple(
    picked: Sequence[Group], groups: Sequence[Group], sets: Mapping[str, frozenset[int]]
) -> tuple[tuple[str, object], ...] | None:
    """Returns a condition on only block or layers that selects exactly these groups of a role, or None if there is
    none."""
    layers = {group.slot.layer for group in picked}
    if not picked or {g.stem for g in groups if g.slot.layer in layers} != {g.stem for g in picked}:
        return None
    return _where(picked, [group for group in groups if group.slot.layer is not None], sets) or None


def _by_unit(
    picked: Sequence[Group], groups: Sequence[Group], sets: Mapping[str, frozenset[int]]
) -> Iterator[dict[str, Any]]:
    """Yields conditions on projection (or source name) and layers. Those taken on the same layers are taken
    together."""
    whole: dict[str, list[Group]] = defaultdict(list)
    units: dict[str, list[Group]] = defaultdict(list)
    for group in groups:
        whole[_unit(group)].append(group)
    for group in picked:
        units[_unit(group)].append(group)
    alike: dict[tuple[tuple[str, object], ...], list[str]] = {}
    single: list[Group] = []
    for unit, some in units.items():
        if some[0].slot.layer is None and len(some) < len(whole[unit]):
            single += some
        else:
            alike.setdefault(_where(some, whole[unit], sets), []).append(unit)
    for where, names in alike.items():
        yield dict(where) | ({} if len(names) == len(whole) else _named(names, units, groups))
    if single:
        yield {"tensor": _numbered(single, groups)}


def _numbered(picked: Sequence[Group], groups: Sequence[Group]) -> tuple[str, ...]:
    """Returns globs over source names for parts with a number but no layer, such as some blocks of the vision tower.
    It uses "vision.blocks.3.*" if that selects only the wanted groups, otherwise the names themselves."""
    by_block: dict[str, list[Group]] = defaultdict(list)
    for group in picked:
        by_block[f"{group.slot.row.pattern.partition('.{N}.')[0]}.{group.slot.number}.*"].append(group)
    found: list[str] = []
    for glob, some in by_block.items():
        hit = compile_glob(glob)
        taken = {group.stem for group in groups if any(hit(tensor.name) for tensor in group.members)}
        names = [tensor.name for group in some for tensor in group.members]
        found += [glob] if taken == {group.stem for group in some} else names
    return tuple(found)


def commonest(actions: Sequence[tuple[Group, Action]]) -> Action:
    """Returns the action of most groups; if two are equally common, the earlier one."""
    return Counter(action for _, action in actions).most_common(1)[0][0]


def _unit(group: Group) -> str:
    row = group.slot.row
    return row.projection or row.pattern


def _where(
    groups: Sequence[Group], whole: Sequence[Group], sets: Mapping[str, frozenset[int]]
) -> tuple[tuple[str, object], ...]:
    """Returns the layer and block conditions that select `groups` out of `whole`; () for all of them."""
    if len(groups) == len(whole):
        return ()
    picked = {group.stem for group in groups}
    for block in ("main", "mtp"):
        if picked == {group.stem for group in whole if group.slot.block == block}:
            return (("block", (block,)),)
    layers = {group.slot.layer for group in groups if group.slot.layer is not None}
    spare = {group.slot.layer for group in whole} - layers
    for name, numbers in sets.items():
        if len(compact(layers)) > 1 and layers <= numbers and not spare & numbers:
            return (("layer_sets", (name,)),)
    return (("layers", tuple(sorted(layers))),)


def _named(
    names: Sequence[str], units: Mapping[str, Sequence[Group]], all_: Sequence[Group]
) -> dict[str, tuple[str, ...]]:
    """Returns the condition on projections, or globs over source names if the role has no projections. If a glob would
    also match a tensor of another pattern, the names themselves are used."""
    first = units[names[0]][0].slot.row
    if first.projection:
        return {"projection": tuple(names)}
    globs: list[str] = []
    for name in names:
        glob = name.replace("{N}", "*").replace("{E}", "*")
        hit = compile_glob(glob)
        if any(hit(tensor.name) for group in all_ if _unit(group) != name for tensor in group.members):
            globs += [tensor.name for group in units[name] for tensor in group.members]
        else:
            globs.append(glob)
    return {"tensor": tuple(globs)}
