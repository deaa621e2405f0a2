"""Floor 4, verifier. Maps a bundle's tensors to the modules of its runtime. This module is pure.

Every check of the contract uses this mapping, no matter who built the bundle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dsv4recipe.bundle.view import BundleView
from dsv4recipe.checkpoint.dims import Dims
from dsv4recipe.checkpoint.family import Family, Slot
from dsv4recipe.headers.safetensors import TensorEntry
from dsv4recipe.runtimes import Target

Parts = Mapping[str, TensorEntry]


@dataclass(slots=True)
class SeenModule:
    """A module of the runtime and what the bundle stores for it. `shape` is logical and without the expert axis.
    `row_groups` is the leading axis into which the runtime splits its rows (0: none). `lookups` holds, per dialect of
    the target, the keys under which its entry is searched. `stems` are the disk stems found, one per expert if experts
    are stored one by one."""

    slot: Slot
    path: str | None
    shape: tuple[int, ...]
    experts: int
    row_groups: int = 0
    lookups: tuple[tuple[str, ...], ...] = ()
    stems: dict[str, Parts] = field(default_factory=dict)
    per_expert: bool = False

    @property
    def name(self) -> str:
        return self.path or self.slot.stem

    @property
    def parts(self) -> Parts:
        return next(iter(self.stems.values()), {})

    @property
    def quantized(self) -> bool:
        return ".scales" in self.parts

    @property
    def packed_mxtq(self) -> bool:
        return ".tq_packed" in self.parts

    def described(self, entry: Mapping[str, Any]) -> str:
        """Returns why {bits, group_size, mode} does not describe the stored tensors, or "" if it does."""
        weight, scales = self.parts.get(".weight"), self.parts.get(".scales")
        if weight is None or scales is None or not self.shape:
            return "it stores no weight with scales"
        bits, group, mode = entry.get("bits"), entry.get("group_size"), entry.get("mode", "affine")
        width = self.shape[-1]
        if type(bits) is not int or type(group) is not int:
            return f"bits {bits!r} and group_size {group!r} are not both whole numbers"
        if weight.shape[-1] * 32 != width * bits or scales.shape[-1] * group != width:
            return f"{bits} bits in groups of {group} do not fit the stored {self.stored}"
        wants_biases = mode == "affine"
        if wants_biases != (".biases" in self.parts) or wants_biases == (scales.dtype == "U8"):
            return f"mode {mode!r} does not fit the stored {self.stored}"
        return ""

    @property
    def stored(self) -> str:
        """Returns the stored tensors in a few words, with the width that they imply."""
        weight, scales = self.parts.get(".weight"), self.parts.get(".scales")
        if weight is None or scales is None:
            return ", ".join(f"{suffix or 'tensor'} {entry.dtype}" for suffix, entry in self.parts.items())
        width = self.shape[-1] if self.shape else 0
        bits = weight.shape[-1] * 32 // width if width else 0
        group = width // scales.shape[-1] if scales.shape[-1] else 0
        kind = "affine" if ".biases" in self.parts else f"mxfp{bits}"
        return f"tensors ({kind} {bits}-bit, group size {group})"


@dataclass(frozen=True)
class Picture:
    """All modules. `modules` are by name (path, or source stem if the runtime drops it). `strangers` are stems that no
    module takes. `dims` are those of the bundle's config.json."""

    modules: Mapping[str, SeenModule]
    strangers: tuple[str, ...]
    dims: Dims


def look(view: BundleView, family: Family, target: Target) -> Picture:
    """Maps the bundle's disk stems to the modules that its config.json requires."""
    dims = family.dims_of(dict(view.config), str(view.root / "config.json"))
    modules: dict[str, SeenModule] = {}
    owner: dict[str, SeenModule] = {}
    single: dict[str, str] = {}
    for expected in family.expected(dims):
        slot = expected.slot
        if target.absent(slot):
            continue
        path = target.path(slot)
        name = path or slot.stem
        module = modules.get(name)
        if module is None:
            experts = dims.experts_in(slot.block) if slot.expert is not None else 0
            module = modules[name] = SeenModule(
                slot, path, expected.shape, experts, target.groups(slot, dims), target.lookups(slot)
            )
            for layout in target.expert_layouts:
                owner[target.disk_stem(slot, layout)] = module
        if slot.expert is not None:
            single[slot.stem.replace("{E}", str(slot.expert))] = slot.stem
    strangers = []
    for stem, parts in view.tensors.items():
        key = single.get(stem, stem)
        found = owner.get(key)
        if found is None:
            strangers.append(stem)
            continue
        found.stems[stem] = parts
        found.per_expert = stem in single
    return Picture(modules, tuple(strangers), dims)
