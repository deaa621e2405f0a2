"""Floor 3, plan. Records which engine a plan for a GGUF file was checked against, and yields its warnings. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dsv4recipe.errors import Diagnostic
from dsv4recipe.plan.model import Plan
from dsv4recipe.recipe.model import Recipe
from dsv4recipe.runtimes import Target, get
from dsv4recipe.runtimes.common.gguf_engine import verdicts


def engine_facts(target: Target, recipe: Recipe) -> dict[str, Any]:
    """Returns the engine's version and the requested backends, or nothing if legality depends on no engine."""
    if target.engine is None:
        return {}
    return {"engine": target.engine.version, "backends": list(recipe.target.backends)}


def slower_backends(plan: Plan) -> Iterator[Diagnostic]:
    """Yields T038 for types of routed experts that a backend of the engine runs without its fused kernels."""
    target = get(plan.target["runtime"], plan.source.family)
    if target.engine is None:
        return
    for verdict in verdicts(target.engine, plan.target["backends"], _routed(plan)):
        if verdict.runs:
            yield Diagnostic("T038", f"{target.name}: {verdict.words}", severity="warning", notes=(verdict.where,))


def backends(plan: Plan) -> tuple[str, ...]:
    """Returns the backends that the plan names; for another tool's file, those that run all of its types."""
    engine = get(plan.target["runtime"], plan.source.family).engine
    if engine is None or "backends" in plan.target:
        return tuple(plan.target.get("backends", ()))
    return tuple(b for b in engine.backends if all(verdict.runs for verdict in verdicts(engine, (b,), _routed(plan))))


def _routed(plan: Plan) -> list[Any]:
    return [(m.block, m.layer, m.projection, m.format) for m in plan.modules if m.role == "routed-expert"]
