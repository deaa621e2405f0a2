"""Floor 3, plan. Compares two plans and groups the differences by module pattern, with byte deltas. This module is
pure.

Times, hosts, paths and recipe names are not compared, so the same inputs give an empty diff. What one side does not
know (a bundle shows no source digest) is not a difference. Between two runtimes every name differs; that is reported as
one fact and not as a thousand changed modules. `diff(b, a)` is the mirror of `diff(a, b)`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from dsv4recipe.checkpoint.family import NUMBERED
from dsv4recipe.formats import Format
from dsv4recipe.plan.diff_facts import Fact, facts
from dsv4recipe.plan.model import Plan, PlannedModule
from dsv4recipe.recipe.layers import compact

Pair = tuple[PlannedModule | None, PlannedModule | None]


@dataclass(frozen=True, slots=True)
class Change:
    """Modules of one pattern that are added ("+"), removed ("-") or changed ("~") in the same way. The layers in
    `pattern` are in compact form: "{0-2,7}"."""

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
    """All differences. `same` counts equal modules; `facts` are differences outside modules as (what, before,
    after)."""

    same: int
    added: tuple[Change, ...]
    removed: tuple[Change, ...]
    changed: tuple[Change, ...]
    facts: tuple[Fact, ...]
    bytes_before: int
    bytes_after: int

    @property
    def empty(self) -> bool:
        return not (self.added or self.removed or self.changed or self.facts)

    @property
    def bytes_delta(self) -> int:
        return self.bytes_after - self.bytes_before

    def data(self) -> dict[str, Any]:
        """Returns the document that `diff --json` prints."""

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
    """Returns what `after` changes compared with `before`, module by module and grouped."""
    names = before.target.get("runtime") == after.target.get("runtime")
    loose = not (before.source.header_digest and after.source.header_digest)
    old, new = _by_key(before), _by_key(after)
    both = [key for key in old if key in new]
    moved = [key for key in both if _seen(old[key], names, loose) != _seen(new[key], names, loose)]
    renamed = 0 if names else sum((old[key].path, old[key].disk) != (new[key].path, new[key].disk) for key in both)
    return PlanDiff(
        same=len(both) - len(moved),
        added=_grouped("+", [(None, new[key]) for key in new if key not in old], names),
        removed=_grouped("-", [(old[key], None) for key in old if key not in new], names),
        changed=_grouped("~", [(old[key], new[key]) for key in moved], names),
        facts=tuple(facts(before, after, renamed, loose)),
        bytes_before=before.tensor_bytes,
        bytes_after=after.tensor_bytes,
    )


def _by_key(plan: Plan) -> dict[str, PlannedModule]:
    """Returns the modules by their sources, the one name that no runtime or layout changes."""
    return {module.sources: module for module in plan.modules}


def _seen(module: PlannedModule, names: bool, loose: bool) -> tuple[Any, ...]:
    called = (module.path, module.disk) if names else (module.per_expert,)
    return *called, _visible(module.format, loose), module.shape, module.parts


def _visible(fmt: Format, loose: bool) -> Format:
    """Returns the format as far as headers show it, without how scales were fitted or which importance was used."""
    return fmt.as_seen() if loose else fmt


def _words(module: PlannedModule | None, other: PlannedModule | None, names: bool) -> str:
    """Returns those properties of one side that differ from the other side, or everything that matters if there is no
    other side."""
    if module is None:
        return ""
    if other is None:
        return module.format.label
    words = [module.format.label] if module.format.label != other.format.label else []
    words += [f"on disk {module.disk}"] if names and module.disk != other.disk else []
    words += [module.path or "not loaded"] if names and module.path != other.path else []
    if not names and module.per_expert != other.per_expert:
        words += ["one by one" if module.per_expert else "stacked"]
    if not words or (module.format != other.format and module.format.label == other.format.label):
        words += [_stored(module, other)]
    return ", ".join(words)


def _stored(module: PlannedModule, other: PlannedModule) -> str:
    """Returns the dtypes of the tensors if these differ, else the shapes, else every parameter of the format."""
    dtypes, theirs = ([part.dtype for part in each.parts] for each in (module, other))
    if dtypes != theirs:
        return " ".join(dtypes)
    if [part.shape for part in module.parts] != [part.shape for part in other.parts]:
        return " ".join(f"{part.suffix.lstrip('.') or 'tensor'} {list(part.shape)}" for part in module.parts)
    return str(module.format.spec())


def _grouped(kind: str, pairs: list[Pair], names: bool) -> tuple[Change, ...]:
    groups: dict[tuple[str, str, str], list[Pair]] = {}
    for old, new in pairs:
        before, after = _any_layer(_words(old, new, names)), _any_layer(_words(new, old, names))
        key = (_pattern(_name(old, new)), before, after)
        groups.setdefault(key, []).append((old, new))
    changes = []
    for (pattern, before, after), members in groups.items():
        modules = [old or new for old, new in members]
        layers = [int(n) for old, new in members for n in _NUMBER.findall(_name(old, new))]
        span = ",".join(map(str, compact(layers)))
        changes.append(
            Change(
                kind,
                pattern.replace("{N}", span if span.isdecimal() else "{" + span + "}"),
                len(modules),
                before,
                after,
                sum(old.bytes for old, _ in members if old is not None),
                sum(new.bytes for _, new in members if new is not None),
            )
        )
    return tuple(sorted(changes, key=lambda c: (-abs(c.bytes_delta), c.pattern, *sorted((c.before, c.after)))))


_HEADS = "|".join((*NUMBERED, "blk"))
_NUMBER = re.compile(rf"\b(?:{_HEADS})\.(\d+)\.")
_LAYER = re.compile(rf"\b({_HEADS})\.\d+\.")


def _name(old: PlannedModule | None, new: PlannedModule | None) -> str:
    """Returns what both sides call the module: its path if they agree, otherwise its sources."""
    if old is None or new is None:
        one = old or new
        return "" if one is None else one.path or one.sources.removesuffix(".weight")
    return old.path if old.path and old.path == new.path else old.sources.removesuffix(".weight")


def _pattern(name: str) -> str:
    return _LAYER.sub(r"\1.{N}.", name)


def _any_layer(text: str) -> str:
    return _LAYER.sub(r"\1.N.", text)
