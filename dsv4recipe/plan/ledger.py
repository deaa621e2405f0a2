"""Floor 3, plan. Sums up sizes: bytes by role × format. This module is pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import Any, Protocol

from dsv4recipe.formats import Format


class Counted(Protocol):
    """The properties of a planned module that the ledger needs."""

    @property
    def role(self) -> str: ...
    @property
    def format(self) -> Format: ...
    @property
    def experts(self) -> int: ...
    @property
    def weights(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def lossless(self) -> bool: ...


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


def ledger(modules: Iterable[Counted]) -> tuple[LedgerRow, ...]:
    """Returns one row per role × format, largest first."""
    rows: dict[tuple[str, str], LedgerRow] = {}
    for module in modules:
        key = (module.role, module.format.label)
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


def ledger_html(rows: Iterable[LedgerRow]) -> str:
    """Returns the ledger as an HTML table, for notebooks. All text that comes from a recipe is escaped."""
    heads = ("role", "format", "modules", "weights", "bytes", "bits per weight")
    body = (
        (row.role, row.format, f"{row.modules:,}", f"{row.weights:,}", f"{row.bytes:,}", f"{row.bits_per_weight:.3f}")
        for row in rows
    )
    lines = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>" for cells in body)
    return (
        f"<table><thead><tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr></thead><tbody>{lines}</tbody></table>"
    )
