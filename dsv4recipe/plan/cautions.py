"""Floor 3, plan. What to know of a plan that nothing refuses: where its runtime is only slower. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from dsv4recipe.errors import Diagnostic
from dsv4recipe.plan.containers import container_of
from dsv4recipe.plan.model import Plan


def cautions(plan: Plan) -> Iterator[Diagnostic]:
    """The warnings that the plan's container has for it: T038."""
    yield from container_of(plan).cautions(plan)
