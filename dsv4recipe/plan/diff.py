"""Floor 3, plan. What differs between two plans, grouped by module pattern, with byte deltas. Pure.

Identity holds no time, host, path or name of a recipe: same inputs, empty diff.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from dsv4recipe.plan.ledger import label
from dsv4recipe.plan.model import Plan, PlannedModule


@dataclass(frozen=True, slots=True)
class Change:
    """Modules of one pattern that are added, removed or changed in the same way. `layers` is compact: "0-2,7"."""

    kind: str
    pattern: str
    count: int
    before: str
    after: str
    bytes_before: int
    bytes_after: int

    @property
    def bytes_delta(self) -> int:
        return self.bytes_after - self.bytes_before


@dataclass(frozen=True, slots=True)
class PlanDiff:
    """`same` counts equal modules; `facts` are differences outside modules as (what, before, after)."""

    same: int
    added: tuple[Change, ...]
    removed: tuple[Change, ...]
    changed: tuple[Change, ...]
    facts: tuple[tuple[str, str, str], ...]
    bytes_before: int
    bytes_after: int

    @property
    def empty(self) -> bool:
        return not (self.added or self.removed or self.changed or self.facts)

    @property
    def bytes_delta(self) -> int:
        return self.bytes_after - self.bytes_before

    def data(self) -> dict[str, Any]:
        """The document `diff --json` prints."""

        def rows(changes: Iterable[Change]) -> list[dict[str, Any]]:
            return [{n: getattr(c, n) for n in Change.__slots__} | {"bytes_delta": c.bytes_delta} for c in changes]

        return {
            "format_version": 1,
            "same": self.same,
            "added": rows(self.added),
            "removed": rows(self.removed),
            "changed": rows(self.changed),
            "facts": [list(fact) for fact in self.facts],
            "bytes_before": self.bytes_before,
            "bytes_after": self.bytes_after,
            "bytes_delta": self.bytes_delta,
        }


def diff(before: Plan, after: Plan) -> PlanDiff:
    """What `after` changes against `before`, module by module and grouped."""
    old, new = _by_key(before), _by_key(after)
    both = [key for key in old if key in new]
    moved = [key for key in both if _seen(old[key]) != _seen(new[key])]
    return PlanDiff(
        same=len(both) - len(moved),
        added=_grouped("+", [(None, new[key]) for key in new if key not in old]),
        removed=_grouped("-", [(old[key], None) for key in old if key not in new]),
        changed=_grouped("~", [(old[key], new[key]) for key in moved]),
        facts=tuple(_facts(before, after)),
        bytes_before=before.tensor_bytes,
        bytes_after=after.tensor_bytes,
    )


def _by_key(plan: Plan) -> dict[str, PlannedModule]:
    """Modules by what they are made of: the one name that no runtime or layout changes."""
    return {module.sources: module for module in plan.modules}


def _seen(module: PlannedModule) -> tuple[Any, ...]:
    return module.path, module.disk, module.format, module.shape, module.parts


def _words(module: PlannedModule | None, other: PlannedModule | None) -> str:
    if module is None:
        return ""
    words = [label(module.format)]
    if other is not None:
        words += [module.disk] if module.disk != other.disk else []
        words += [module.path or "not loaded"] if module.path != other.path else []
        if module.format == other.format and module.disk == other.disk:
            words += [" ".join(sorted({part.dtype for part in module.parts}))]
    return ", ".join(words)


def _grouped(kind: str, pairs: list[tuple[PlannedModule | None, PlannedModule | None]]) -> tuple[Change, ...]:
    groups: dict[tuple[str, str, str], list[tuple[PlannedModule | None, PlannedModule | None]]] = {}
    for old, new in pairs:
        module = new or old
        assert module is not None
        key = (_pattern(module), _pattern_text(_words(old, new), module), _pattern_text(_words(new, old), module))
        groups.setdefault(key, []).append((old, new))
    changes = []
    for (pattern, before, after), members in groups.items():
        layers = [m.layer for pair in members for m in (pair[1] or pair[0],) if m is not None and m.layer is not None]
        changes.append(
            Change(
                kind,
                pattern.replace("{N}", "{" + _ranges(layers) + "}") if layers else pattern,
                len(members),
                before,
                after,
                sum(old.bytes for old, _ in members if old is not None),
                sum(new.bytes for _, new in members if new is not None),
            )
        )
    return tuple(sorted(changes, key=lambda change: (-abs(change.bytes_delta), change.pattern)))


def _pattern(module: PlannedModule) -> str:
    name = module.path or module.disk
    return re.sub(r"\b(layers|mtp)\.\d+\.", r"\1.{N}.", name)


def _pattern_text(text: str, module: PlannedModule) -> str:
    return text if module.layer is None else re.sub(r"\b(layers|mtp)\.\d+\.", r"\1.N.", text)


def _ranges(numbers: list[int]) -> str:
    """[0, 1, 2, 7] → "0-2,7"."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)


def _facts(before: Plan, after: Plan) -> Iterable[tuple[str, str, str]]:
    for name in sorted({*before.target, *after.target}):
        old, new = before.target.get(name), after.target.get(name)
        if old != new:
            yield f"target.{name}", str(old), str(new)
    for name in ("model", "revision", "family", "config_digest", "header_digest"):
        old, new = getattr(before.source, name), getattr(after.source, name)
        if old != new:
            yield f"source.{name}", str(old), str(new)
    if len(before.shards) != len(after.shards):
        yield "shards", str(len(before.shards)), str(len(after.shards))
    elif before.shards != after.shards and _layout(before) != _layout(after):
        yield "shard layout", "modules lie in other shards or order", ""
    old_keys, new_keys = set(before.overrides), set(after.overrides)
    differing = sum(before.overrides.get(key) != after.overrides.get(key) for key in old_keys | new_keys)
    if differing:
        yield "overrides", f"{len(old_keys)} keys", f"{len(new_keys)} keys, {differing} of them new, gone or changed"


def _layout(plan: Plan) -> list[tuple[str, ...]]:
    return [tuple(plan.by_disk[disk].sources for disk in shard.modules) for shard in plan.shards]
