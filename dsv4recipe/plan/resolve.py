"""Floor 3, plan. Proves that every logical tensor is claimed by exactly one rule. This module is pure.

The first match wins. Unclaimed tensors, shadowed rules and rules without a match are errors; each names the rule, its
line and the nearest miss.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

from dsv4recipe.checkpoint.dims import Dims
from dsv4recipe.checkpoint.family import Slot
from dsv4recipe.checkpoint.graph import Checkpoint, Group
from dsv4recipe.errors import Problems, did_you_mean
from dsv4recipe.formats import Format, Keep
from dsv4recipe.formats.base import FLOAT_DTYPES
from dsv4recipe.plan.candidates import Candidates
from dsv4recipe.plan.match import Matcher, Test, matched_members
from dsv4recipe.recipe.layers import compact
from dsv4recipe.recipe.model import Recipe, Rule
from dsv4recipe.runtimes import Claim, Target

_SHOWN = 8


def resolve(
    recipe: Recipe, checkpoint: Checkpoint, target: Target, problems: Problems
) -> tuple[list[Claim], dict[str, int]]:
    """Returns the claims in the checkpoint's order, and the number of tensors dropped by each rule (or by
    `target.mtp`).

    Adds findings to `problems`: P001 unclaimed, P002 shadowed, P003 matches nothing, P004 splits a stack, P005 layers
    that the model does not have.
    """
    _check_layers(recipe, checkpoint.dims, problems)
    sets = checkpoint.family.layer_sets(checkpoint.dims)
    tests = {rule.id: Matcher(rule.match, sets, target.path).tests() for rule in recipe.rules}
    wins: Counter[str] = Counter()
    beaten: dict[str, Counter[str]] = {rule.id: Counter() for rule in recipe.rules}
    claims: list[Claim] = []
    dropped: Counter[str] = Counter()
    unclaimed: list[Group] = []
    groups = checkpoint.groups
    skipped = [group.slot.block == "mtp" and recipe.target.mtp == "drop" for group in groups]
    winners: list[Rule | None] = [None] * len(groups)
    candidates = Candidates(groups, target.path)
    for rule in recipe.rules:
        for number in candidates.of(rule.match, sets):
            group, first = groups[number], winners[number]
            hits = 0 if skipped[number] else matched_members(tests[rule.id], group)
            if not hits:
                continue
            if first is not None:
                beaten[rule.id][first.id] += 1
                continue
            winners[number] = rule
            wins[rule.id] += 1
            if hits < len(group.members):
                _splits(rule, group, hits, problems)
    for group, winner, skip in zip(groups, winners, skipped, strict=True):
        if skip:
            dropped["target.mtp"] += len(group.members)
        elif winner is None:
            unclaimed.append(group)
        elif winner.action == "drop":
            dropped[winner.id] += len(group.members)
        else:
            claims.append(Claim(group, winner, _format(winner, group, target, recipe.target.half)))
    _report_unclaimed(recipe, unclaimed, problems)
    for rule in recipe.rules:
        if not wins[rule.id] and not rule.optional:
            there = [group for group, skip in zip(groups, skipped, strict=True) if not skip]
            _report_idle(rule, beaten[rule.id], tests[rule.id], there, groups, target.path, problems)
    return claims, dict(sorted(dropped.items()))


def _format(rule: Rule, group: Group, target: Target, half: str) -> Format:
    """Returns the format that a rule's action means for a group."""
    action = rule.action
    if not isinstance(action, str):
        return action
    if action != "source":
        return Keep(FLOAT_DTYPES[action])
    return Keep(target.kept(group.source, group.slot.row.role, half))


def _check_layers(recipe: Recipe, dims: Dims, problems: Problems) -> None:
    last = dims.layers + dims.stages - 1
    for rule in recipe.rules:
        beyond = [layer for layer in rule.match.layers if layer > last]
        if not beyond or rule.optional or len(beyond) == len(rule.match.layers):
            continue  # a rule for only such layers matches nothing, which is P003
        shown = ", ".join(map(str, compact(beyond)))
        message = f"rule '{rule.id}' names layers that the model does not have: {shown}"
        stages = f", and its MTP stages are {dims.layers} to {last}" if dims.stages else ""
        hint = f"the model has layers 0 to {dims.layers - 1}{stages}; a rule with `optional: true` may name more"
        problems.error("P005", message, rule.place("match.layers"), hint)


def _splits(rule: Rule, group: Group, hits: int, problems: Problems) -> None:
    problems.error(
        "P004",
        f"rule '{rule.id}' matches {hits} of the {len(group.members)} experts of {group.names}",
        rule.place("match.tensor"),
        "all experts of a projection share one format; write * for the expert number",
    )


def _report_unclaimed(recipe: Recipe, groups: Sequence[Group], problems: Problems) -> None:
    by_role: dict[str, list[Group]] = {}
    for group in groups:
        by_role.setdefault(group.slot.row.role, []).append(group)
    for role, left in by_role.items():
        count = sum(len(group.members) for group in left)
        noun = "tensor is" if count == 1 else "tensors are"
        notes = [group.names for group in left[:_SHOWN]]
        if len(left) > _SHOWN:
            notes.append(f"and {len(left) - _SHOWN} more")
        hint = f"add a rule, such as `match: {{role: {role}}}`"
        problems.error("P001", f"{count:,} {noun} claimed by no rule (role {role})", recipe.where, hint, notes)


def _report_idle(
    rule: Rule,
    beaten: Counter[str],
    tests: dict[str, Test],
    there: Sequence[Group],
    everything: Sequence[Group],
    path_of: Callable[[Slot], str | None],
    problems: Problems,
) -> None:
    if beaten:
        winners = ", ".join(f"'{name}' ({count} modules)" for name, count in beaten.most_common())
        message = f"rule '{rule.id}' is shadowed: every tensor it matches is claimed by an earlier rule"
        problems.error(
            "P002",
            message,
            rule.where,
            "move it up, narrow the earlier rule, or remove it",
            (f"they are claimed by {winners}",),
        )
        return
    notes, hint = [], "add `optional: true` to the rule if this is intended"
    dropped = 0 if there == everything else sum(matched_members(tests, group) for group in everything)
    if dropped:
        notes.append(f"it matches {dropped:,} tensors of MTP stages, which `mtp: drop` leaves out")
    for name, test in tests.items():
        count = sum(test(group) for group in there)
        notes.append(f"{name} alone matches {count:,} tensors")
        if not count and not dropped and name in ("tensor", "module"):
            names = {_pattern(group) if name == "tensor" else path_of(group.slot) or "" for group in there}
            names = {re.sub(r"\.\d+(?=\.)", ".*", each) for each in names}
            hint = did_you_mean(getattr(rule.match, name)[0], names - {""}).split("known:")[0] or hint
    empty = [name for name in tests if f"{name} alone matches 0 tensors" in notes]
    place = rule.place(f"match.{empty[0]}") if empty else rule.where
    problems.error("P003", f"rule '{rule.id}' matches no tensor", place, hint, notes)


def _pattern(group: Group) -> str:
    return group.slot.row.pattern.replace("{N}", "*").replace("{E}", "*")
