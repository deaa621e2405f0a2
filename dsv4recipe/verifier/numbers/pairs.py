"""Floor 4, verifier (step 3). Pairs modules of a bundle with tensors of its source, and pieces of both. Pure.

Offsets come from the bundle's own headers, so bundles of other tools can be compared too.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence

from dsv4recipe.bundle.observe import STRANGER
from dsv4recipe.bundle.read import BundlePlan
from dsv4recipe.bundle.view import BundleView
from dsv4recipe.checkpoint.graph import Checkpoint, Group
from dsv4recipe.errors import Diagnostic, Where
from dsv4recipe.plan.model import PlannedModule
from dsv4recipe.plan.pieces import beside, member_pieces
from dsv4recipe.plan.shards import PlacedTensor
from dsv4recipe.verifier.numbers.gap import Pair


def other_source(read: BundlePlan, checkpoint: Checkpoint) -> Iterator[Diagnostic]:
    """Yields V300 if the source is another one: by digests if the bundle has them, otherwise by shapes."""
    where = Where(checkpoint.folder.place)
    if read.built and read.plan.source.header_digest != checkpoint.folder.header_digest:
        yield Diagnostic("V300", "the bundle was built from another checkpoint (the headers differ)", where)
    if read.built:
        return
    groups = {group.names: group for group in checkpoint.groups}
    known = [module for module in read.plan.modules if module.role != STRANGER]
    odd = [m for m in known if m.sources not in groups or groups[m.sources].shape != m.shape]
    if odd:
        message = f"the source is another checkpoint: {len(odd):,} of {len(known):,} modules do not match this one"
        yield Diagnostic("V300", f"{message}, first {odd[0].sources}", where)


def comparable(
    view: BundleView, read: BundlePlan, groups: Mapping[str, Group]
) -> tuple[list[PlannedModule], list[Diagnostic]]:
    """Returns the modules that can be decoded, and findings V301 and V306 about the others."""
    good: list[PlannedModule] = []
    findings: list[Diagnostic] = []
    unknown: list[PlannedModule] = []
    for module in read.plan.modules:
        if module.sources not in groups or module.format.kind.startswith("unrecognised"):
            unknown.append(module)
            continue
        odd = next(_misplaced(view, module), "")
        if odd:
            where = Where(str(view.root), subject=module.path or module.disk)
            findings.append(Diagnostic("V301", f"{odd} is not stored as planned", where, "build the bundle again"))
        else:
            good.append(module)
    if unknown:
        message = f"{len(unknown):,} modules have an unknown format and were not compared, such as {unknown[0].disk}"
        findings.append(Diagnostic("V306", message, Where(str(view.root)), severity="warning"))
    return good, findings


def _misplaced(view: BundleView, module: PlannedModule) -> Iterator[str]:
    for stem in module.stems:
        for part in module.parts:
            entry = view.tensors.get(stem, {}).get(part.suffix)
            if entry is None or (entry.dtype, entry.shape) != (part.dtype, part.shape):
                yield stem + part.suffix


def chosen(
    modules: Sequence[PlannedModule], groups: Mapping[str, Group], sample: int, seed: int
) -> tuple[frozenset[str], int]:
    """Returns the names of the source tensors to measure, and how many there are. A seed always gives the same."""
    names = sorted({member.name for module in modules for member in groups[module.sources].members})
    if not sample or sample >= len(names):
        return frozenset(names), len(names)
    return frozenset(random.Random(seed).sample(names, sample)), len(names)


def pairs(
    view: BundleView,
    modules: Sequence[PlannedModule],
    groups: Mapping[str, Group],
    wanted: frozenset[str],
    *,
    judge_all: bool,
) -> Iterator[tuple[str, Pair]]:
    """Yields (disk stem of the module, piece) of everything to measure, in the order of the modules."""
    for module in modules:
        stems = module.stems
        for number, member in enumerate(groups[module.sources].members):
            if member.name not in wanted:
                continue
            stem = stems[number if module.per_expert else 0]
            parts = [part for part in module.parts if part.fill is None]
            placed = [
                PlacedTensor(stem + part.suffix, module, part, number, view.tensors[stem][part.suffix].start)
                for part in parts
            ]
            files = tuple(view.shard_of[tensor.name] for tensor in placed)
            for piece in member_pieces(member, module, placed, number, beside(module, number, groups)):
                yield module.disk, Pair(piece, files, judge_all)
