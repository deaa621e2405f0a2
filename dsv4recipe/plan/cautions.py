"""Floor 3, plan. What to know of a plan that nothing refuses: where its runtime is only slower. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from dsv4recipe.errors import Diagnostic
from dsv4recipe.formats import Keep
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


def rounded(plan: Plan) -> Iterator[tuple[str, int, str]]:
    """(dtype, source tensors, their dtype) of what is kept as numbers of another type that does not hold them all."""
    found: Counter[tuple[str, str]] = Counter()
    for module in plan.modules:
        if isinstance(module.format, Keep) and not module.lossless:
            found[module.format.dtype, module.source.stored.upper()] += max(1, module.experts)
    for (dtype, before), count in sorted(found.items()):
        yield dtype, count, before
