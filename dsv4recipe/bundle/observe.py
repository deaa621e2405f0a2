"""Floor 3, bundle. Derives a plan from any bundle: what its headers and config show, module by module. This module is
pure.

What headers cannot show stays unknown and is never guessed: digests of the source are "", the shard size is None, rules
and notes are "". How the source stored a tensor comes from the family's table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dsv4recipe.bundle.recognise import Unrecognised
from dsv4recipe.bundle.view import BundleView
from dsv4recipe.checkpoint.graph import Checkpoint, Group
from dsv4recipe.formats import Format, Part, SourceTensor
from dsv4recipe.formats.base import HALF_DTYPES
from dsv4recipe.headers.safetensors import Header, TensorEntry
from dsv4recipe.plan.dialects import Index
from dsv4recipe.plan.expected import expected_checkpoint
from dsv4recipe.plan.make import led, order_of
from dsv4recipe.plan.model import Plan, PlannedModule, PlannedShard, PlannedSource
from dsv4recipe.plan.overrides import quantization
from dsv4recipe.runtimes import Target, running

STRANGER = "stranger"
"""The role of a stored tensor that belongs to no module of the family."""

_ORDER = (".weight", ".scales", ".biases", ".tq_packed", ".tq_norms", ".tq_bits", "")
_ENTRY = {"bits", "group_size", "mode"}
_HALVES = {dtype: name for name, dtype in HALF_DTYPES.items()}
Stems = Mapping[str, tuple[int | None, Mapping[str, TensorEntry]]]


@dataclass(frozen=True)
class Observed:
    """What a bundle shows. `plan` is its plan. `checkpoint` is the one that its config.json requires. `runtimes` are
    the targets whose names match best, beginning with that of the plan, and `misnamed` says how many modules even they
    name differently. `absent` are the groups of which it stores nothing."""

    plan: Plan
    checkpoint: Checkpoint
    runtimes: tuple[str, ...]
    misnamed: int
    absent: tuple[Group, ...]


def observe(view: BundleView, prefer: str = "") -> Observed:
    """Returns the plan that a bundle's headers and config.json show. `prefer` is the runtime to choose if several match
    alike. Raises RecipeError C010 or C011 for a config.json of no known family."""
    checkpoint = expected_checkpoint(view.config, str(view.root / "config.json"))
    found, strangers = _assign(view, Index(checkpoint))
    stored = (g for g in checkpoint.groups if g.stem in found)
    groups = sorted(stored, key=lambda g: order_of(g.slot, view.globals_first))
    absent = tuple(g for g in checkpoint.groups if g.stem not in found)
    bare = [_module(group, found[group.stem], view) for group in groups]
    overrides = quantization_of(view.config)
    targets = [each for each in running(checkpoint.family.name).values() if view.suits(each)]
    ranked = sorted(targets, key=lambda target: _misfit(target, groups, bare, view, prefer, checkpoint))
    best = ranked[0]
    alike = _names_misfit(best, groups, bare, checkpoint)
    modules = tuple(replace(module, path=best.path(group.slot)) for module, group in zip(bare, groups, strict=True))
    modules = led(modules, best) + tuple(_stranger(stem, view.tensors[stem]) for stem in strangers)
    return Observed(
        Plan(
            recipe={},
            source=_source(view, checkpoint),
            target=_target(best, modules),
            modules=modules,
            shards=tuple(_shards(view, found)),
            overrides=overrides,
            dropped=_dropped(absent),
        ),
        checkpoint,
        tuple(t.name for t in ranked if _names_misfit(t, groups, bare, checkpoint) == alike),
        alike + len(strangers),
        absent,
    )


def quantization_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns MLX's entries in config.json, the global one and one per module, without what else a converter writes
    there."""
    section = config.get("quantization") or config.get("quantization_config")
    if not isinstance(section, dict):
        return {}
    return {k: v for k, v in section.items() if k in _ENTRY or (isinstance(v, dict) and set(v) <= _ENTRY)}


def _assign(view: BundleView, index: Index) -> tuple[dict[str, Stems], list[str]]:
    found: dict[str, dict[str, tuple[int | None, Mapping[str, TensorEntry]]]] = {}
    strangers = []
    for stem, parts in view.tensors.items():
        hit = index.stem(stem)
        if hit is None:
            strangers.append(stem)
        else:
            found.setdefault(hit[0].stem, {})[stem] = (hit[1], parts)
    return dict(found), strangers


def _module(group: Group, stems: Stems, view: BundleView) -> PlannedModule:
    """Returns the module without its path. Stems that do not fit together become one unrecognised module with all their
    bytes."""
    first, (expert, parts) = next(iter(stems.items()))
    disk = first
    fmt = view.format_of(group, parts, _stacked(group, expert))
    if expert is not None:
        disk = first.replace(f".experts.{expert}.", ".experts.{E}.")
        reason = _torn(group, stems, disk)
        if reason:
            fmt = Unrecognised(reason)
    elif len(stems) > 1:
        fmt = Unrecognised(f"stored {len(stems)} times, as {' and '.join(sorted(stems)[:2])}")
    made = tuple(_parts(parts, fmt))
    if isinstance(fmt, Unrecognised) and (len(stems) > 1 or expert is not None):
        disk = group.stem.replace("{E}", "*")
        made = tuple(
            Part(f" {stem}{suffix}", e.dtype, e.shape) for stem in stems for suffix, e in stems[stem][1].items()
        )
    slot, row = group.slot, group.slot.row
    return PlannedModule(
        path=None, disk=disk, role=row.role, projection=row.projection, block=slot.block, layer=slot.layer, format=fmt,
        lossless=group.lossless(fmt), rule="", note="", shape=group.shape, experts=group.experts,
        source=group.source, sources=group.names, parts=made,
    )  # fmt: skip


def _stacked(group: Group, expert: int | None) -> int:
    return max(1, group.experts) if expert is None else 1


def _torn(group: Group, stems: Stems, disk: str) -> str:
    """Returns why single experts do not make one module, or "" if they do."""
    experts = {expert for expert, _ in stems.values()}
    if None in experts or {s.replace(f".experts.{e}.", ".experts.{E}.") for s, (e, _) in stems.items()} != {disk}:
        return "experts stored under several names"
    if len(stems) != group.experts:
        return f"{len(stems)} of {group.experts} experts stored"
    kinds = {tuple(sorted((s, e.dtype, e.shape) for s, e in parts.items())) for _, parts in stems.values()}
    return "" if len(kinds) == 1 else f"its experts are stored in {len(kinds)} ways"


def _parts(parts: Mapping[str, TensorEntry], fmt: Format) -> Iterator[Part]:
    for suffix in sorted(parts, key=lambda suffix: _ORDER.index(suffix) if suffix in _ORDER else len(_ORDER)):
        yield Part(suffix, parts[suffix].dtype, parts[suffix].shape, fmt.fill(suffix))


def _stranger(stem: str, parts: Mapping[str, TensorEntry]) -> PlannedModule:
    made = tuple(Part(suffix, entry.dtype, entry.shape) for suffix, entry in parts.items())
    fmt = Unrecognised("no module of the family")
    return PlannedModule(
        path=None, disk=stem, role=STRANGER, projection="", block="main", layer=None, format=fmt, lossless=False,
        rule="", note="", shape=(), experts=0, source=SourceTensor("int", (), ""), sources=stem, parts=made,
    )  # fmt: skip


def _names_misfit(target: Target, groups: Sequence[Group], modules: Sequence[PlannedModule], ck: Checkpoint) -> int:
    """Returns how many modules are stored with other names, or with rows split differently, than the target's."""
    count = 0
    for group, module in zip(groups, modules, strict=True):
        count += module.disk not in {target.disk_stem(group.slot, layout) for layout in target.expert_layouts}
        if not group.experts and len(group.shape) == 2 and module.parts:
            count += (len(module.parts[0].shape) == 3) != bool(target.groups(group.slot, ck.dims))
    return count


def _misfit(
    target: Target,
    groups: Sequence[Group],
    modules: Sequence[PlannedModule],
    view: BundleView,
    prefer: str,
    checkpoint: Checkpoint,
) -> tuple[int, bool, int]:
    """Returns a sort key of targets: names first, then what the caller prefers, then how many entries of config.json or
    built-in key/values differ."""
    overrides = quantization_of(view.config)
    keys = {module.disk: target.keys(group.slot) for module, group in zip(modules, groups, strict=True)}
    wanted = quantization(target, modules, keys)
    differing = sum(wanted.get(key) != overrides.get(key) for key in {*wanted, *overrides})
    differing += sum(1 for _ in target.unlike(view.values))
    return _names_misfit(target, groups, modules, checkpoint), target.name != prefer, differing


def _target(target: Target, modules: Sequence[PlannedModule]) -> dict[str, Any]:
    routed = [module.per_expert for module in modules if module.role == "routed-expert" and module.block == "main"]
    halves = Counter(p.dtype for m in modules if m.role != STRANGER for p in m.parts if p.dtype in _HALVES)
    half = _HALVES[halves.most_common(1)[0][0]] if halves else target.halves[0]
    return {
        "runtime": target.name,
        "experts": "per-expert" if any(routed) else "stacked",
        "mtp": "keep" if any(module.block == "mtp" for module in modules) else "drop",
        "half": half,
        "shard_size": None,
    }


def _dropped(absent: Sequence[Group]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for group in absent:
        found["target.mtp" if group.slot.block == "mtp" else "absent"] += len(group.members)
    return dict(sorted(found.items()))


def _source(view: BundleView, checkpoint: Checkpoint) -> PlannedSource:
    """Returns model and revision as the manifest or jang_config.json state them, or ""."""
    said = view.json.get("dsv4recipe.manifest.json", {}).get("source")
    said = said if isinstance(said, dict) else {}
    model = said.get("model") or view.json.get("jang_config.json", {}).get("source_model") or ""
    model = model if isinstance(model, str) and model.count("/") == 1 and not model.startswith("/") else ""
    revision = str(said.get("revision") or view.origin[1])
    return PlannedSource(model or view.origin[0], revision, checkpoint.family.name, "", "", 0, 0)


def _shards(view: BundleView, found: Mapping[str, Stems]) -> Iterator[PlannedShard]:
    disk_of = {stem: stem if e is None else stem.replace(f".experts.{e}.", ".experts.{E}.")
               for stems in found.values() for stem, (e, _) in stems.items()}  # fmt: skip
    stem_of = {entry.name: stem for stem, parts in view.tensors.items() for entry in parts.values()}
    for header in view.shards:
        stems = dict.fromkeys(disk_of.get(stem_of[e.name], stem_of[e.name]) for e in header.tensors)
        yield PlannedShard(header.file, tuple(stems), _payload(header), header.size)


def _payload(header: Header) -> int:
    return sum(entry.nbytes for entry in header.tensors)
