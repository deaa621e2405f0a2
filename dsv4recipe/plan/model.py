"""Floor 3, plan. Holds the plan as frozen data. This module is pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from html import escape
from math import prod
from typing import Any

from dsv4recipe.formats import Format, Part, SourceTensor
from dsv4recipe.importance.planned import PlannedImportance
from dsv4recipe.plan.content import digest_of
from dsv4recipe.plan.ledger import ledger, ledger_html
from dsv4recipe.units import counted


@dataclass(frozen=True, slots=True)
class PlannedModule:
    """Describes one module of the runtime (or one bare parameter) and what it is made of.

    `path` is the module path after the runtime's renaming, or None if the runtime drops the module (MTP). `disk` is the
    stem on disk; if it holds `{E}`, every expert is stored under its own stem. `shape` is logical, [experts, out, in]
    for routed experts. `parts` are the tensors per disk stem, `sources` the compact source names, `names` the source
    pattern with `{E}`.
    """

    path: str | None
    disk: str
    role: str
    projection: str
    block: str
    layer: int | None
    format: Format
    lossless: bool
    rule: str
    note: str
    shape: tuple[int, ...]
    experts: int
    source: SourceTensor
    sources: str
    parts: tuple[Part, ...]

    @property
    def per_expert(self) -> bool:
        return "{E}" in self.disk

    @property
    def stems(self) -> tuple[str, ...]:
        """Returns every disk stem of the module."""
        if not self.per_expert:
            return (self.disk,)
        return tuple(self.disk.replace("{E}", str(expert)) for expert in range(self.experts))

    @property
    def bytes(self) -> int:
        """Returns the bytes of all its tensors on disk."""
        return sum(part.nbytes for part in self.parts) * (self.experts if self.per_expert else 1)

    @property
    def weights(self) -> int:
        """Returns the number of logical elements."""
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class PlannedShard:
    """Describes a file: its modules by disk stem, the bytes of its tensors and its exact size (with header and
    padding). `header` is the sha256 of its header if that does not follow from the modules alone (GGUF), else ""."""

    file: str
    modules: tuple[str, ...]
    tensor_bytes: int
    file_bytes: int
    header: str = ""


@dataclass(frozen=True, slots=True)
class PlannedSource:
    """Describes the checkpoint that a plan was made for. `config_digest` and `header_digest` are sha256. `model` and
    `revision` are the recipe's if nothing is known of the source. `origin` is what is known (see `provenance`)."""

    model: str
    revision: str
    family: str
    config_digest: str
    header_digest: str
    tensors: int
    bytes: int
    origin: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Plan:
    """The contract between a recipe and a build. `importance` is the file that weighs errors, if a format asks for one,
    because a build with another file would write other bytes."""

    recipe: Mapping[str, Any]
    source: PlannedSource
    target: Mapping[str, Any]
    modules: tuple[PlannedModule, ...]
    shards: tuple[PlannedShard, ...]
    overrides: Mapping[str, Any]
    dropped: Mapping[str, int]
    importance: PlannedImportance | None = None

    @property
    def tensor_bytes(self) -> int:
        return sum(module.bytes for module in self.modules)

    @property
    def weights(self) -> int:
        return sum(module.weights for module in self.modules)

    @property
    def bits_per_weight(self) -> float:
        """Returns 8 × tensor bytes / elements of all stored logical tensors, to four decimals."""
        return round(self.tensor_bytes * 8 / self.weights, 4) if self.weights else 0.0

    def __repr__(self) -> str:
        """Returns one line: the recipe, the runtime, the size, and the start of the digest."""
        size = f"{self.tensor_bytes:,} bytes, {self.bits_per_weight} bits per weight"
        parts = f"{len(self.modules):,} modules in {counted(len(self.shards), 'shard')}"
        return f"<Plan {self.recipe['name']} for {self.target['runtime']}: {parts}, {size}, {self.digest[:12]}>"

    def _repr_html_(self) -> str:
        """Returns the ledger as HTML, for notebooks."""
        return f"<p>{escape(repr(self)[1:-1])}</p>{ledger_html(ledger(self.modules))}"

    def rows(self) -> list[dict[str, Any]]:
        """Returns one record per module, for a data frame: names, role, format, bytes, bits per weight, rule and
        shard."""
        shards = {disk: shard.file for shard in self.shards for disk in shard.modules}
        return [
            {
                "module": module.path,
                "disk": module.disk,
                "source": module.sources,
                "role": module.role,
                "projection": module.projection,
                "block": module.block,
                "layer": module.layer,
                "experts": module.experts,
                "shape": module.shape,
                "stored": module.source.stored,
                "format": module.format.label,
                "lossless": module.lossless,
                "weights": module.weights,
                "bytes": module.bytes,
                "bits_per_weight": round(module.bytes * 8 / module.weights, 4) if module.weights else 0.0,
                "rule": module.rule,
                "shard": shards[module.disk],
            }
            for module in self.modules
        ]

    @cached_property
    def by_disk(self) -> dict[str, PlannedModule]:
        return {module.disk: module for module in self.modules}

    @cached_property
    def digest(self) -> str:
        """Returns the sha256 of the canonical JSON without the digest itself."""
        return digest_of(self)
