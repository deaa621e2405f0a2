"""Floor 3, plan. The plan as frozen data. This module is pure."""

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
    """What one module of the runtime (or one bare parameter) is made of.

    `path` is the post-sanitize path, None where the runtime drops the module (MTP). `disk` is the stem on disk; with
    `{E}` in it, every expert is stored under its own stem. `shape` is logical, [experts, out, in] for routed experts.
    `parts` are the tensors per disk stem, `sources` the compact source names, `names` the source pattern with `{E}`.
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
        """Payload bytes on disk."""
        return sum(part.nbytes for part in self.parts) * (self.experts if self.per_expert else 1)

    @property
    def weights(self) -> int:
        """Returns logical elements."""
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class PlannedShard:
    """A file: its modules by disk stem, payload bytes and exact file size (header and padding included). `header` is
    the sha256 of its header where that does not follow from the modules alone (GGUF), else ""."""

    file: str
    modules: tuple[str, ...]
    tensor_bytes: int
    file_bytes: int
    header: str = ""


@dataclass(frozen=True, slots=True)
class PlannedSource:
    """The checkpoint a plan was made for; `config_digest` and `header_digest` are sha256. `model` and `revision` are
    those of the recipe where nothing is known of the source; `origin` is what is known (`provenance`)."""

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
    """The contract between a recipe and a build. `importance` is the file that weighs errors, where a format asks for
    one: a build with another file would write other bytes."""

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
        """8 × tensor bytes / elements of every stored logical tensor, to four decimals."""
        return round(self.tensor_bytes * 8 / self.weights, 4) if self.weights else 0.0

    def __repr__(self) -> str:
        """Returns one line: what it is for, how large it is, and the start of its digest."""
        size = f"{self.tensor_bytes:,} bytes, {self.bits_per_weight} bits per weight"
        parts = f"{len(self.modules):,} modules in {counted(len(self.shards), 'shard')}"
        return f"<Plan {self.recipe['name']} for {self.target['runtime']}: {parts}, {size}, {self.digest[:12]}>"

    def _repr_html_(self) -> str:
        """Returns the ledger, as notebooks show it."""
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
        """Returns sha256 of the canonical JSON without the digest itself."""
        return digest_of(self)
