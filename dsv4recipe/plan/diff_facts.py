"""Floor 3, plan. Compares two plans outside their modules: target, source, shards, overrides. This module is pure."""

from __future__ import annotations

from collections.abc import Iterator

from dsv4recipe.plan.model import Plan

Fact = tuple[str, str, str]


def facts(before: Plan, after: Plan, renamed: int, loose: bool) -> Iterator[Fact]:
    """Yields (what, before, after) for everything that differs and is not a module. `renamed` counts modules that the
    two runtimes name differently. `loose` says that one side is a bundle, whose headers show no order of modules."""
    for name in sorted({*before.target, *after.target}):
        old, new = before.target.get(name), after.target.get(name)
        if old != new and old is not None and new is not None:
            yield f"target.{name}", str(old), str(new)
    for name in ("model", "revision", "family", "config_digest", "header_digest"):
        old, new = getattr(before.source, name), getattr(after.source, name)
        if old != new and old and new:
            yield f"source.{name}", str(old), str(new)
    if before.importance != after.importance and not loose:
        first, second = (plan.importance.sha256 if plan.importance else "none" for plan in (before, after))
        yield "importance", first, second
    if renamed:
        old, new = before.target["runtime"], after.target["runtime"]
        yield f"names ({renamed:,} modules)", f"as {old} has them", f"as {new} has them"
    if layout := _layout_fact(before, after, loose):
        yield layout
    keys = {*before.overrides, *after.overrides}
    differing = sum(before.overrides.get(key) != after.overrides.get(key) for key in keys)
    if differing:
        noun = "key differs" if differing == 1 else "keys differ"
        yield f"overrides ({differing:,} {noun})", f"{len(before.overrides):,} keys", f"{len(after.overrides):,} keys"


def _layout_fact(before: Plan, after: Plan, loose: bool) -> Fact | None:
    """Returns how the shards differ, if this does not follow from the modules alone."""
    old, new = _places(before), _places(after)
    elsewhere = sum(old[key] != new[key] for key in old if key in new)
    if len(before.shards) == len(after.shards) and not elsewhere:
        if loose or _order(before, new) == _order(after, old):
            return None
        what = "shard layout (modules in another order)"
    else:
        what = f"shard layout ({elsewhere:,} modules in another shard)" if elsewhere else "shard layout"
    return what, _shard_words(before), _shard_words(after)


def _places(plan: Plan) -> dict[str, int]:
    return {
        plan.by_disk[d].sources: n for n, shard in enumerate(plan.shards) for d in shard.modules if d in plan.by_disk
    }


def _order(plan: Plan, common: dict[str, int]) -> list[str]:
    """Returns the modules that the other side has too, in the order of the shards."""
    names = [plan.by_disk[disk].sources for shard in plan.shards for disk in shard.modules]
    return [name for name in names if name in common]


def _shard_words(plan: Plan) -> str:
    largest = max((shard.tensor_bytes for shard in plan.shards), default=0)
    return f"{len(plan.shards):,} shards, the largest with {largest:,} B of tensors"
