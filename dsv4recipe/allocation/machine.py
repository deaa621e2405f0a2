"""Floor 3, allocation. Computes what a machine leaves for weights: its wired limit less the KV cache and an allowance.
This module is pure.

macOS lets the GPU wire three quarters of the memory of Macs with more than 36 GB, and two thirds on smaller ones,
unless `iogpu.wired_limit_mb` says otherwise. Source: what Metal reports as recommendedMaxWorkingSetSize, 10.67 GiB of
16 (exo-explore/exo#1672), 72 of 96, 96 of 128 and 144 of 192 (raullenchai/Rapid-MLX#183). macOS 26 allows more: 107.52
of 128 (antirez/ds4#893), so this rule is on the safe side.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dsv4recipe.errors import RecipeError
from dsv4recipe.units import gigabytes

if TYPE_CHECKING:
    from dsv4recipe.checkpoint.graph import Checkpoint

_MACHINE = re.compile(r"(?P<memory>[1-9][0-9]{0,3})GB-mac")
_GIB = 1 << 30
_HALF = 2
CONTEXT = 32_768
"""Tokens of context that a KV cache is computed for where nobody says how many."""
RESERVE = _GIB
"""An allowance for activations, buffers and the runtime itself, which was not measured."""


@dataclass(frozen=True, slots=True)
class Room:
    """What a machine of `memory` GB leaves: the bytes of the `wired` limit (`said` names its source), of the KV cache
    at `context` tokens and of the allowance."""

    memory: int
    wired: int
    said: str
    context: int
    kv: int
    reserve: int

    @property
    def bytes(self) -> int:
        return self.wired - self.kv - self.reserve

    def words(self) -> str:
        return (
            f"{self.memory} GB of memory: wired limit {gigabytes(self.wired)} ({self.said}), less "
            f"{gigabytes(self.kv)} of KV cache for {self.context:,} tokens and {gigabytes(self.reserve)} for "
            "activations and the runtime"
        )


def room(machine: str, checkpoint: Checkpoint, context: int, reserve: int = RESERVE, wired: int | None = None) -> Room:
    """Returns what `machine` ("128GB-mac") leaves for weights. `wired` replaces the rule. Raises RecipeError A008 for
    another kind of machine, or one that leaves nothing."""
    match = _MACHINE.fullmatch(machine)
    if match is None:
        raise RecipeError(
            "A008",
            f"this version has no rule for a machine called {machine[:40]!r}",
            hint="write 128GB-mac, or pass --budget",
        )
    memory = int(match["memory"])
    said = "as given" if wired is not None else "3/4 of the memory" if memory > 36 else "2/3 of the memory"
    if wired is None:
        wired = wired_limit(memory)
    found = Room(memory, wired, said, context, kv_bytes(checkpoint, context), reserve)
    if found.bytes <= 0:
        raise RecipeError("A008", f"nothing is left for weights: {found.words()}", hint="pass a shorter --context")
    return found


def wired_limit(memory: int) -> int:
    """Returns how many bytes macOS lets the GPU wire on a machine of so many GB."""
    return memory * _GIB * 3 // 4 if memory > 36 else memory * _GIB * 2 // 3


def kv_bytes(checkpoint: Checkpoint, context: int) -> int:
    """Returns the bytes of the KV cache of one sequence of `context` tokens, in a half-precision type.

    Every main layer keeps a window of `sliding_window` entries of `head_dim` (keys and values are one). A layer of
    ratio r keeps one more entry per r tokens, and at ratio 4 one of the indexer too. This is what the caches of
    mlx-vlm's class hold (RotatingKVCache and PoolingCache); a runtime may round up.
    """
    dims = checkpoint.dims
    window = int(checkpoint.config.get("sliding_window", 0)) or context
    entries = 0
    for layer in range(dims.layers):
        ratio = dims.ratio(layer)
        entries += min(window, context) * dims.head_dim
        if ratio:
            pooled = -(-context // ratio)
            entries += pooled * (dims.head_dim + (dims.index_dim if ratio == 4 else 0))
    return entries * _HALF
