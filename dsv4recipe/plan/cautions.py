"""Floor 3, plan. Warns about valid plans: where the runtime is slower, and what calibration missed. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from dsv4recipe.errors import Diagnostic
from dsv4recipe.formats.base import wants_importance
from dsv4recipe.plan.containers import container_of
from dsv4recipe.plan.model import Plan


def cautions(plan: Plan) -> Iterator[Diagnostic]:
    """Yields the warnings of the plan's container (T038), and I013 if calibration never reached much of what it
    weighs."""
    yield from container_of(plan).cautions(plan)
    unseen, weighed = never_seen(plan)
    if unseen > weighed / 100:
        message = f"calibration never reached {unseen:,} of the {weighed:,} matrices that it should weigh"
        hint = "all columns of these count alike; calibrate with more and different text"
        yield Diagnostic("I013", message, hint=hint, severity="warning")


def never_seen(plan: Plan) -> tuple[int, int]:
    """Returns two counts of matrices (each expert of a stack counts): those that calibration never reached, and all
    that the plan weighs by the importance file. Returns (0, 0) without such a file."""
    if plan.importance is None:
        return 0, 0
    return plan.importance.unseen, sum(max(1, m.experts) for m in plan.modules if wants_importance(m.format))


def rounded(plan: Plan) -> Iterator[tuple[str, int, str]]:
    """Yields (dtype, source tensors, their dtype) for tensors that are kept in another type which cannot hold all of
    their values."""
    found: Counter[tuple[str, str]] = Counter()
    for module in plan.modules:
        if module.format.plain_dtype and not module.lossless:
            found[module.format.plain_dtype, module.source.stored.upper()] += max(1, module.experts)
    for (dtype, before), count in sorted(found.items()):
        yield dtype, count, before
