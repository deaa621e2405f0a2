"""Floor 3, plan. Explains what a tensor becomes: the winning rule, the losing rules, its name in every dialect.
Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dsv4recipe.checkpoint.graph import Checkpoint, Group
from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.plan.chain import Node, chain_of, plan_graph
from dsv4recipe.plan.dialects import Index, Names, names_everywhere
from dsv4recipe.plan.make import make_plan
from dsv4recipe.plan.match import Matcher, matched_members
from dsv4recipe.plan.model import Plan, PlannedModule
from dsv4recipe.recipe.layers import compact
from dsv4recipe.recipe.model import Match, Recipe, Rule
from dsv4recipe.runtimes import get

if TYPE_CHECKING:
    from dsv4recipe.importance.model import Guide

_NEAR = 5
_EXPERT = re.compile(r"\.experts\.(\d{1,9})\.")
_ENTRY = ("bits", "group_size", "mode")


@dataclass(frozen=True, slots=True)
class Verdict:
    """A rule and its outcome: `why` says why it lost, and is "" for the winner."""

    rule: str
    where: Where
    why: str


@dataclass(frozen=True)
class Explanation:
    """The explanation of one name. `expert` is the one that was asked for, or None for the whole group. `winner` is
    None if `target.mtp` dropped the group. `module` is None and `shard` is "" for a group that is dropped. `overrides`
    are its entries in config.json by key, empty if the global entry, `globals_`, describes it."""

    name: str
    group: Group
    expert: int | None
    winner: Verdict | None
    losers: tuple[Verdict, ...]
    module: PlannedModule | None
    shard: str
    overrides: Mapping[str, Any]
    globals_: Mapping[str, Any]
    names: Mapping[str, Names]
    chain: tuple[Node, ...]

    def data(self) -> dict[str, Any]:
        """Returns the document that `explain --json` prints."""
        slot, row, module = self.group.slot, self.group.slot.row, self.module
        return {
            "format_version": 1,
            "name": self.name,
            "sources": self.group.names,
            "expert": self.expert,
            "role": row.role,
            "projection": row.projection,
            "block": slot.block,
            "layer": slot.layer,
            "stored": self.group.source.stored,
            "shape": list(self.group.shape),
            "rule": None if self.winner is None else _verdict(self.winner),
            "lost": [_verdict(each) for each in self.losers],
            "module": None if module is None else _module(module) | {"shard": self.shard},
            "overrides": dict(self.overrides),
            "global": dict(self.globals_),
            "names": {target: {"path": n.path, "disk": dict(n.disk)} for target, n in self.names.items()},
            "chain": [list(node) for node in self.chain],
        }


def explain(recipe: Recipe, checkpoint: Checkpoint, name: str, importance: Guide | None = None) -> Explanation:
    """Explains the tensor, module or disk name `name`, in any dialect. `importance` is the same as for `make_plan`.

    Raises RecipeError P040 (no dialect has the name; the nearest ones are listed), and what `make_plan` raises.
    """
    found = Index(checkpoint).find(name)
    if found is None:
        raise _unknown(name, checkpoint)
    group, expert = found
    plan = make_plan(recipe, checkpoint, importance)
    target = get(recipe.target.runtime, checkpoint.family.name)
    winner, losers = _verdicts(recipe, checkpoint, group)
    module = next((each for each in plan.modules if each.sources == group.names), None)
    shard = next((s.file for s in plan.shards if module is not None and module.disk in s.modules), "")
    keys = () if module is None else (*target.keys(group.slot), *_stems(module, expert))
    return Explanation(
        name=name,
        group=group,
        expert=expert,
        winner=winner,
        losers=tuple(losers),
        module=module,
        shard=shard,
        overrides={key: plan.overrides[key] for key in dict.fromkeys(keys) if key in plan.overrides},
        globals_=_globals(plan),
        names=names_everywhere(group.slot, checkpoint.family.name),
        chain=chain_of(plan_graph(plan, checkpoint), group.stem),
    )


def _stems(module: PlannedModule, expert: int | None) -> tuple[str, ...]:
    """Returns the disk stems to look up; for all experts of a group, the first one stands for the others."""
    return module.stems[expert or 0 : (expert or 0) + 1] if module.per_expert else module.stems


def _globals(plan: Plan) -> dict[str, Any]:
    return {key: plan.overrides[key] for key in _ENTRY if key in plan.overrides}


def _verdicts(recipe: Recipe, checkpoint: Checkpoint, group: Group) -> tuple[Verdict | None, list[Verdict]]:
    if group.slot.block == "mtp" and recipe.target.mtp == "drop":
        why = "target.mtp: drop takes every MTP tensor before a rule is tried"
        return None, [Verdict(rule.id, rule.where, why) for rule in recipe.rules]
    sets = checkpoint.family.layer_sets(checkpoint.dims)
    path_of = get(recipe.target.runtime, checkpoint.family.name).path
    winner: Verdict | None = None
    losers = []
    for rule in recipe.rules:
        tests = Matcher(rule.match, sets, path_of).tests()
        if matched_members(tests, group):
            if winner is None:
                winner = Verdict(rule.id, rule.where, "")
                continue
            why = f"it also matches, but '{winner.rule}' comes first"
        else:
            failed = [test for test in tests if not tests[test](group)]
            why = "; ".join(_reason(rule, test, group, path_of(group.slot), sets) for test in failed)
        losers.append(Verdict(rule.id, rule.where, why))
    return winner, losers


def _reason(rule: Rule, test: str, group: Group, path: str | None, sets: Mapping[str, frozenset[int]]) -> str:
    """Returns which condition failed: what the tensor is, and what the rule asks for."""
    slot, row = group.slot, group.slot.row
    is_ = {
        "role": row.role,
        "projection": row.projection or "none",
        "block": slot.block,
        "stored": group.source.stored,
        "layers": "none" if slot.layer is None else str(slot.layer),
        "tensor": group.names,
        "module": path or "none, because the runtime does not load it",
    }[test]
    noun = "layer" if test == "layers" else test
    return f"{noun} is {is_}, but the rule asks for {_asked(rule.match, test, sets)}"


def _asked(match: Match, test: str, sets: Mapping[str, frozenset[int]]) -> str:
    if test != "layers":
        values: Sequence[str] = getattr(match, test)
        return values[0] if len(values) == 1 else f"one of {', '.join(values)}"
    named = [f"{name} ({_list(sets.get(name, frozenset())) or 'no layer here'})" for name in match.layer_sets]
    return ", ".join([*([_list(match.layers)] if match.layers else []), *named])


def _list(layers: Sequence[int] | frozenset[int]) -> str:
    return ", ".join(map(str, compact(layers)))


def _unknown(name: str, checkpoint: Checkpoint) -> RecipeError:
    known = Index(checkpoint).groups
    place = _EXPERT.search(name)
    one = Index(checkpoint).find(_EXPERT.sub(".experts.0.", name)) if place else None
    if one is not None and place is not None:
        message = f"{one[0].stem} has experts 0 to {one[0].experts - 1}, not {place[1]}"
        return RecipeError("P040", message, hint="name one of them, or write {E} for all")
    segments = set(name.split("."))
    likely = [each for each in known if len(segments & set(each.split("."))) * 2 >= len(segments)] or list(known)
    near = difflib.get_close_matches(name, likely[:2000], n=_NEAR, cutoff=0.5)
    message = f'no tensor, module or disk name of any dialect is called "{name[:120]}"'
    hint = f'did you mean "{near[0]}"?' if near else "`dsv4recipe plan --json` lists every module"
    return RecipeError("P040", message, Where(subject=""), hint, [f"near: {each}" for each in near[1:]])


def _verdict(verdict: Verdict) -> dict[str, Any]:
    where = verdict.where
    data: dict[str, Any] = {"id": verdict.rule, "file": where.file, "line": where.line}
    return data | ({"why": verdict.why} if verdict.why else {})


def _module(module: PlannedModule) -> dict[str, Any]:
    return {
        "path": module.path,
        "disk": module.disk,
        "format": module.format.spec(),
        "lossless": module.lossless,
        "bytes": module.bytes,
        "bits_per_weight": round(module.bytes * 8 / module.weights, 4),
        "tensors": [{"suffix": p.suffix, "dtype": p.dtype, "shape": list(p.shape)} for p in module.parts],
    }
