"""Floor 2, runtimes. Reports what a GGUF engine cannot accept, before any work, with one check per law. This module is
pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dsv4recipe.checkpoint.graph import Group
from dsv4recipe.errors import Problems, Where
from dsv4recipe.formats import Ggml
from dsv4recipe.recipe.model import Recipe
from dsv4recipe.runtimes.common.gguf_engine import Engine, verdicts
from dsv4recipe.runtimes.common.target import Claim, Target

_SHOWN = 8


def check_engine(
    target: Target, recipe: Recipe, claims: Sequence[Claim], groups: Sequence[Group], problems: Problems
) -> None:
    """Checks claims against `target.engine`, if it has one: T032 to T036. `groups` are all of the checkpoint's."""
    asked = recipe.target
    engine = target.engine
    if asked.backends and (engine is None or not engine.backends):
        place = recipe.place("target.backends")
        problems.error("T032", f"{target.name} can run the same types everywhere", place, "remove `backends`")
    if engine is None:
        return
    if asked.shard_size:
        place = recipe.place("target.shard-size")
        problems.error("T035", f"{target.name} loads one file", place, "write `shard-size: none`")
    if engine.backends and not asked.backends:
        known = ", ".join(engine.backends)
        message = (
            f"{target.name} does not run every type on every backend, and the recipe does not say where it must run"
        )
        problems.error("T032", message, recipe.place("target"), f"write `backends: [{known}]`, or those that you need")
    _check_types(target, engine, claims, problems)
    _check_blocks(target, claims, groups, problems)
    routed = [
        (c.group.slot.block, c.group.slot.layer, c.group.slot.row.projection, c.format)
        for c in claims
        if c.group.experts
    ]
    for verdict in verdicts(engine, asked.backends, routed):
        if not verdict.runs:
            message = f"{target.name} {engine.version} loads these types but cannot run them: {verdict.words}"
            hint = "choose other types for the routed experts, or fewer `backends`"
            problems.error("T034", message, recipe.place("target.backends"), hint, notes=(verdict.where,))


def check_values(target: Target, engine: Engine, value_of: Mapping[str, Any], tokens: bool, problems: Problems) -> None:
    """Checks the model against the values built into the engine (T037); with `tokens`, also its vocabulary."""
    odd = list(engine.unlike(value_of))
    if tokens:
        vocabulary = value_of.get("tokenizer.ggml.tokens") or ()
        odd += [f"the tokenizer has no {token}" for token in engine.lacking(vocabulary)]
    if odd:
        more = (f"and {len(odd) - _SHOWN} more",) if len(odd) > _SHOWN else ()
        message = f"{target.name} {engine.version} has other built-in values and would refuse this model"
        hint = "build for llama.cpp, which reads these values from the file"
        problems.error("T037", message, Where("config.json"), hint, notes=(*odd[:_SHOWN], *more))


def _check_types(target: Target, engine: Engine, claims: Sequence[Claim], problems: Problems) -> None:
    told: set[tuple[str, str, str]] = set()
    for claim in claims:
        slot, fmt = claim.group.slot, claim.format
        if not isinstance(fmt, Ggml):
            continue
        allowed = engine.types(slot, len(claim.group.source.shape))
        key = (claim.rule.id, slot.row.role, fmt.type)
        if fmt.type in allowed or key in told:
            continue
        told.add(key)
        message = f"rule '{claim.rule.id}': {target.name} {engine.version} does not load {fmt.type} for {slot.row.role}"
        first = claim.group.names
        problems.error(
            "T033",
            message,
            claim.rule.place("format"),
            f"it loads: {', '.join(allowed)}",
            notes=(f"the first is {first}",),
        )


def _check_blocks(target: Target, claims: Sequence[Claim], groups: Sequence[Group], problems: Problems) -> None:
    """Checks that a file holds either the main model or its prediction stages, and all of it."""
    blocks = {claim.group.slot.block for claim in claims}
    if len(blocks) > 1:
        rule = next(claim.rule for claim in claims if claim.group.slot.block == "mtp")
        message = f"{target.name} needs the main model and its prediction stages as two files"
        problems.error("T036", message, rule.where, "write `mtp: drop`; the recipe ds4-mtp makes the other file")
    kept = {claim.group.stem for claim in claims}
    lost = [group.names for group in groups if group.slot.block in blocks and group.stem not in kept]
    if lost and len(blocks) == 1:
        message = f"{len(lost):,} tensors are dropped that {target.name} needs"
        problems.error("T036", message, Where(), "keep every tensor of the block", notes=lost[:_SHOWN])
