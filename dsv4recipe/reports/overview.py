"""Floor 4, reports. What a person wants to know first of a plan: does it fit, how large against the source, how much of
it is exact. This module is pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dsv4recipe.advice.fit import MACS
from dsv4recipe.allocation.machine import CONTEXT, RESERVE, wired_limit
from dsv4recipe.plan.model import Plan

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Overview:
    """`gauge` is a row per machine: its name, room in bytes, and whether the plan fits. All shares are of 1."""

    weights: int
    gauge: tuple[Row, ...]
    kv: int | None
    context: int
    source_bytes: int
    exact_weights: float
    exact_bytes: float

    @property
    def smallest(self) -> str:
        """Returns the smallest machine that the plan fits; "" for none."""
        return next((row["name"] for row in self.gauge if row["fits"]), "")


def overview(plan: Plan, kv: int | None = None) -> Overview:
    """Returns the first facts of a plan. `kv` are the bytes of the KV cache for 32,768 tokens, None where the
    checkpoint is not at hand; the gauge then leaves it out."""
    idle = sum(module.bytes for module in plan.modules if module.path is None)
    loaded = plan.tensor_bytes - idle
    most = max(wired_limit(int(name.partition("GB")[0])) for name in MACS)
    rows = []
    for name in MACS:
        memory = int(name.partition("GB")[0])
        room = wired_limit(memory) - RESERVE - (kv or 0)
        rows.append(
            {
                "name": f"{memory} GB Mac", "room": room, "fits": loaded <= room, "spare": room - loaded,
                "full": round(min(loaded / room, 1.0) * 1000, 1) if room > 0 else 1000,
                "width": round(wired_limit(memory) / most * 1000, 1),
            }
        )  # fmt: skip
    exact = [module for module in plan.modules if module.lossless]
    return Overview(
        weights=loaded,
        gauge=tuple(rows),
        kv=kv,
        context=CONTEXT,
        source_bytes=plan.source.bytes,
        exact_weights=sum(module.weights for module in exact) / plan.weights if plan.weights else 0.0,
        exact_bytes=sum(module.bytes for module in exact) / plan.tensor_bytes if plan.tensor_bytes else 0.0,
    )


def ticks(most: int, count: int = 5) -> tuple[int, list[str]]:
    """Returns the end of an axis of bytes that holds `most`, and the words at its `count` + 1 ticks, 0 first."""
    unit, name = next((size, name) for size, name in _UNITS if most >= size or size == 1)
    scaled = most / unit
    step = next(s for s in _steps() if s * count >= scaled)
    end = step * count
    return round(end * unit), [f"{step * number:g}" for number in range(count)] + [f"{end:g} {name}"]


_UNITS = ((10**9, "GB"), (10**6, "MB"), (10**3, "kB"), (1, "B"))


def _steps() -> Sequence[float]:
    return [digit * 10.0**power for power in range(-2, 5) for digit in (1, 2, 2.5, 4, 5, 8)]
