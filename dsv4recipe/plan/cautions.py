"""Floor 3, plan. What to know of a plan that nothing refuses: where its runtime is only slower. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from dsv4recipe.errors import Diagnostic
from dsv4recipe.formats import Keep
from dsv4recipe.plan.containers import container_of
from dsv4recipe.plan.model import Plan


def cautions(plan: Plan) -> Iterator[Diagnostic]:
    """The warnings that the plan's container has for it: T038."""
    yield from container_of(plan).cautions(plan)


def rounded(plan: Plan) -> Iterator[tuple[str, int, str]]:
    """(dtype, source tensors, their dtype) of what is kept as numbers of another type that does not hold them all."""
    found: Counter[tuple[str, str]] = Counter()
    for module in plan.modules:
        if isinstance(module.format, Keep) and not module.lossless:
            found[module.format.dtype, module.source.stored.upper()] += max(1, module.experts)
    for (dtype, before), count in sorted(found.items()):
        yield dtype, count, before
