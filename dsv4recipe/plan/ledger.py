"""Floor 3, plan. The size ledger: bytes by role × format. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from dsv4recipe.formats import Affine, Format, Ggml, Keep, Mxtq
from dsv4recipe.formats.ggml.spec import UNKNOWN
from dsv4recipe.plan.model import PlannedModule


def label(fmt: Format) -> str:
    """A format as people say it: "affine 4-bit g32", "mxfp4", "mxtq 2-bit", "Q2_K energy", "F32"."""
    if isinstance(fmt, Affine):
        fit = "" if fmt.fit == "minmax" else f" {fmt.fit}"
        weighted = "" if fmt.importance == "none" else " by importance"
        return f"affine {fmt.bits}-bit g{fmt.group_size}{fit}{weighted}"
    if isinstance(fmt, Mxtq):
        return f"mxtq {fmt.bits}-bit" + ("" if fmt.fit == "nearest" else f" {fmt.fit}")
    if isinstance(fmt, Ggml):
        return fmt.type if fmt.importance in ("none", UNKNOWN) else f"{fmt.type} {fmt.importance}"
    return fmt.dtype if isinstance(fmt, Keep) else fmt.kind


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """All modules of one role in one format. `tensors` counts source tensors, `weights` logical elements."""

    role: str
    format: str
    modules: int
    tensors: int
    weights: int
    bytes: int
    lossless: bool

    @property
    def bits_per_weight(self) -> float:
        return round(self.bytes * 8 / self.weights, 4) if self.weights else 0.0

    def data(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__} | {"bits_per_weight": self.bits_per_weight}


def ledger(modules: Iterable[PlannedModule]) -> tuple[LedgerRow, ...]:
    """One row per role × format, largest first."""
    rows: dict[tuple[str, str], LedgerRow] = {}
    for module in modules:
        key = (module.role, label(module.format))
        old = rows.get(key, LedgerRow(*key, 0, 0, 0, 0, True))
        rows[key] = LedgerRow(
            *key,
            old.modules + 1,
            old.tensors + max(1, module.experts),
            old.weights + module.weights,
            old.bytes + module.bytes,
            old.lossless and module.lossless,
        )
    return tuple(sorted(rows.values(), key=lambda row: (-row.bytes, row.role, row.format)))
