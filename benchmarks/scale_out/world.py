"""What is built: a slice of V4-Flash's real shapes with weights, and V4-Pro's whole task list by its headers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dsv4recipe import load_recipe, make_plan, open_checkpoint
from dsv4recipe.builder.shard import ShardTask
from dsv4recipe.builder.tasks import shard_tasks
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.checkpoint.synth import synthesize
from dsv4recipe.formats import Affine
from dsv4recipe.plan.model import Plan
from dsv4recipe.recipe.model import Recipe

SMALL = 64_000_000
"""Bytes of a shard in a slice: a stack has a shard of its own, as in the whole model."""


def recipe(name: str, shard_size: int, pro: bool = False) -> Recipe:
    """A shipped recipe; "NAME, fit: mse" has every affine format searched for the least squares."""
    plain, _, fit = name.partition(", fit: ")
    found = load_recipe(plain)
    if fit:
        rules = (
            r if not isinstance(r.action, Affine) else replace(r, action=replace(r.action, fit=fit))
            for r in found.rules
        )
        found = replace(found, rules=tuple(rules))
    source = replace(found.source, model="deepseek-ai/DeepSeek-V4-Pro") if pro else found.source
    return replace(found, source=source, target=replace(found.target, shard_size=shard_size))


def slice_of(work: Path, layers: int, experts: int) -> Checkpoint:
    """A checkpoint of real shapes with weights: made once."""
    source = work / f"slice-{layers}x{experts}"
    if not source.exists():
        synthesize(source, preset="slice", layers=layers, experts=experts)
    return open_checkpoint(source)


def pro(work: Path, name: str) -> tuple[Plan, Checkpoint, list[ShardTask]]:
    """V4-Pro's headers, the plan of a recipe for it, its tasks."""
    source = work / "pro"
    if not source.exists():
        synthesize(source, "v4-pro", "full", headers_only=True)
    checkpoint = open_checkpoint(source)
    plan = make_plan(recipe(name, 2**30, pro=True), checkpoint)
    return plan, checkpoint, list(shard_tasks(plan, checkpoint))
