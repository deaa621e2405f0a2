"""Floor 4, reports. A page about what differs between two plans. Reads its own template."""

from __future__ import annotations

from collections import Counter

from dsv4recipe.plan.diff import PlanDiff
from dsv4recipe.plan.diff_groups import merged
from dsv4recipe.plan.model import Plan
from dsv4recipe.reports.overview import ticks
from dsv4recipe.reports.page import rendered


def render_diff(found: PlanDiff, before: Plan, after: Plan, names: tuple[str, str]) -> str:
    """Returns the difference as one HTML document, under the rules of `render_page`. Nothing is cut."""
    old, new = _by_role(before), _by_role(after)
    end, words = ticks(max([*old.values(), *new.values()], default=1))
    roles = [
        {"role": role, "before": old[role], "after": new[role], "x": round(old[role] * 1000 / end, 2),
         "y": round(new[role] * 1000 / end, 2)}
        for role in sorted(set(old) | set(new), key=lambda name: (-max(old[name], new[name]), name))
    ]  # fmt: skip
    changes = [*merged(found.removed), *merged(found.added), *merged(found.changed)]
    changes.sort(key=lambda change: -abs(change.bytes_delta))
    facts = {
        "found": found, "before": names[0], "after": names[1], "delta": found.bytes_delta, "roles": roles,
        "ticks": words, "changes": changes,
    }  # fmt: skip
    return rendered("diff.html", facts)


def _by_role(plan: Plan) -> Counter[str]:
    sizes: Counter[str] = Counter()
    for module in plan.modules:
        sizes[module.role] += module.bytes
    return sizes
