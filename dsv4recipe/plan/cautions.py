"""Floor 3, plan. What to know of a plan that nothing refuses: where its runtime is only slower. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from dsv4recipe.errors import Diagnostic
from dsv4recipe.plan.model import Plan
from dsv4recipe.runtimes import get
from dsv4recipe.runtimes.common.gguf_engine import verdicts


def cautions(plan: Plan) -> Iterator[Diagnostic]:
    """T038: types of routed experts that a backend of a GGUF engine runs without its fused kernels."""
    target = get(plan.target["runtime"], plan.source.family)
    if target.engine is None:
        return
    routed = [(m.block, m.layer, m.projection, m.format) for m in plan.modules if m.role == "routed-expert"]
    for verdict in verdicts(target.engine, plan.target["backends"], routed):
        if verdict.runs:
            yield Diagnostic("T038", f"{target.name}: {verdict.words}", severity="warning", notes=(verdict.where,))
