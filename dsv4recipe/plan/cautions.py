"""Floor 3, plan. What to know of a plan that nothing refuses: where its runtime is only slower. This module is pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from dsv4recipe.errors import Diagnostic
from dsv4recipe.formats.base import wants_importance
from dsv4recipe.plan.containers import container_of
from dsv4recipe.plan.model import Plan


def cautions(plan: Plan) -> Iterator[Diagnostic]:
    """Yields the warnings that the plan's container has for it, T038; and I013 where calibration never reached much of
    what is weighed."""
    yield from container_of(plan).cautions(plan)
    unseen, weighed = never_seen(plan)
    if unseen > weighed / 100:
        message = f"calibration never reached {unseen:,} of the {weighed:,} matrices that are weighed by it"
        hint = "their columns count alike; calibrate with more and other text"
        yield Diagnostic("I013", message, hint=hint, severity="warning")


def never_seen(plan: Plan) -> tuple[int, int]:
    """Returns how many matrices (of a stack, each expert) the importance file was never reached by, and how many the
    plan weighs by that file; (0, 0) without one."""
    if plan.importance is None:
        return 0, 0
    return plan.importance.unseen, sum(max(1, m.experts) for m in plan.modules if wants_importance(m.format))


def rounded(plan: Plan) -> Iterator[tuple[str, int, str]]:
    """Yields (dtype, source tensors, their dtype) of what is kept as numbers of another type that does not hold them
    all."""
    found: Counter[tuple[str, str]] = Counter()
    for module in plan.modules:
        if module.format.plain_dtype and not module.lossless:
            found[module.format.plain_dtype, module.source.stored.upper()] += max(1, module.experts)
    for (dtype, before), count in sorted(found.items()):
        yield dtype, count, before
