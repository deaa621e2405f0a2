"""Floor 3, plan. Turns the action of every group into few readable rules: exceptions of each role, then whole roles.
This module is pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dsv4recipe.checkpoint.graph import Group
from dsv4recipe.plan.selectors import Selection, commonest, exceptions
from dsv4recipe.recipe.layers import compact
from dsv4recipe.recipe.model import CONTROL_ROLES, ROLES, Match, Rule


def rules_for(by_role: Mapping[str, Sequence[tuple[Group, Any]]], sets: Mapping[str, frozenset[int]]) -> list[Rule]:
    """Returns rules that give every group its action. `sets` are the family's layer sets, resolved.

    Exceptions of each role come first, then one rule per action for the roles as a whole.
    """
    roles = sorted(by_role, key=ROLES.index)
    whole = {role: commonest(by_role[role]) for role in roles}
    special = [s for role in roles for s in exceptions(role, by_role[role], whole[role], sets)]
    general = [Selection(role, Match(), whole[role]) for role in roles]
    return _named(_joined([*special, *general]))


def _joined(selections: Sequence[Selection]) -> list[tuple[Match, Any]]:
    """Returns selections that differ only in their role as one rule; general rules come last, in their given order."""
    found: dict[tuple[Match, object], list[str]] = {}
    for each in selections:
        found.setdefault((each.match, each.action), []).append(each.role)
    return [(replace(match, role=tuple(roles)), action) for (match, action), roles in found.items()]


def _named(rules: Sequence[tuple[Match, Any]]) -> list[Rule]:
    used: Counter[str] = Counter()
    made = []
    for match, action in rules:
        name = _name(match, action)
        used[name] += 1
        made.append(Rule(name if used[name] == 1 else f"{name}-{used[name]}", match, action))
    return made


def _name(match: Match, action: Any) -> str:
    """Returns an id that says what the rule is about: "routed-expert-down-6-bit", "control",
    "embedding-and-lm-head"."""
    roles = set(match.role)
    if len(roles) > 2:
        head = "control" if roles <= CONTROL_ROLES else "as-stored" if action == "source" else "everything-else"
    else:
        head = "-and-".join(match.role)
    narrow = match.projection or match.block
    if match.layers or match.layer_sets or match.tensor or match.projection or match.block:
        head = "-".join((head, *narrow))
        head += "" if not match.layers else f"-layers-{compact(match.layers)[0]}"
    what = action if isinstance(action, str) else action.label
    words = f"{head}-{what}" if narrow or match.tensor or match.layers or match.layer_sets else head
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:60].strip("-")
