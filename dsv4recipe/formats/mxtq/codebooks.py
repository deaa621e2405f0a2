"""Floor 1, formats. The constants of MXTQ: sign vectors, codebooks, Hadamard blocks. Pure; numpy only.

Codec: docs/reference/formats.md, mxtq. The runtime reads the same constants from its sidecar: they agree to the bit.
"""

from __future__ import annotations

import itertools
import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# Positive halves, ascending, float32 little-endian hex; the negative half mirrors them. 2048 and 4096 are the expert
# widths of V4-Flash, 3072 and 7168 those of V4-Pro. Embedded, so that no other math library can move a bit of them.
_EMBEDDED = {
    (2048, 2): "5228263c82090a3d",
    (4096, 2): "fca9eb3b02b4c33c",
    (3072, 2): "f1f0073c2cc9e13c",
    (7168, 2): "be5ab23b2726943c",
    (2048, 4): "2a315d3b3a57243cbddd873c9004bf3cc1fef93c0c141e3df6be463dedef803d",
    (4096, 4): "7191223b7ec1f03bc5f5473c7b578d3c7cf2b83ca9e4e83cd33b113dc1c23a3d",
    (3072, 4): "bd8c3c3baedd0b3c35f1663c6ebba13c01eed23c4301053d861d263d77c8553d",
    (7168, 4): "d5f3013ba0d9bf3b40b51d3c50ec5c3c95a18f3cad9ab33ccdb0de3cdd6f0e3d",
}


def signs(width: int, seed: int) -> Floats:
    """±1 float32 [width]: one PCG64 draw over the whole width, whatever its Hadamard blocks."""
    return np.random.default_rng(seed).choice([-1.0, 1.0], size=width).astype(np.float32)


def hadamard_blocks(width: int) -> tuple[int, ...]:
    """Returns the powers of two that sum to `width`, largest first: 6144 → (4096, 2048)."""
    return tuple(1 << bit for bit in range(width.bit_length() - 1, -1, -1) if width >> bit & 1)


def block_scales(width: int) -> Floats:
    """Returns float32 [width]: 1/sqrt(size of the column's Hadamard block), rounded once from float64."""
    return np.concatenate([np.full(size, 1.0 / size**0.5, np.float32) for size in hadamard_blocks(width)])


@lru_cache(maxsize=64)
def _codebook(width: int, bits: int) -> bytes:
    half = _EMBEDDED.get((width, bits))
    if half is None:
        return np.array(lloyd_max(width, bits), "<f4").tobytes()
    positive = np.frombuffer(bytes.fromhex(half), "<f4")
    return np.concatenate([-positive[::-1], positive]).tobytes()


def codebook(width: int, bits: int) -> Floats:
    """Returns float32 [2^bits], ascending: the levels of one coordinate of a unit vector of `width` dimensions."""
    return np.frombuffer(_codebook(width, bits), "<f4").astype(np.float32)


def boundaries(width: int, bits: int) -> Floats:
    """Returns float32 [2^bits - 1]: midpoints of neighbouring levels, in float32."""
    levels = codebook(width, bits)
    return (levels[:-1] + levels[1:]) / np.float32(2.0)


def _integral(y: NDArray[np.float64], x: NDArray[np.float64]) -> float:
    return float((np.diff(x) * (y[1:] + y[:-1]) / 2.0).sum())


def lloyd_max(width: int, bits: int, rounds: int = 200) -> list[float]:
    """Returns the codebook in float64, by Lloyd-Max on a grid of 10,000 points over the density of a unit vector's
    coordinate.

    The coarse grid and the loose stopping rule (the levels *before* the last round are returned) are part of the
    codec: textbook Lloyd-Max values differ.
    """
    grid: NDArray[Any] = np.linspace(-1.0, 1.0, 10000)
    if width <= 2:
        density = np.full_like(grid, 0.5)
    else:
        log_area = math.lgamma(width / 2.0) - 0.5 * math.log(math.pi) - math.lgamma((width - 1) / 2.0)
        density = np.exp(log_area + (width - 3) / 2.0 * np.log(np.maximum(1.0 - grid**2, 1e-30)))
    total = _integral(density, grid)
    if total > 0:
        density = density / total
    span = 3.0 / math.sqrt(max(width, 1))
    levels: NDArray[Any] = np.linspace(-span, span, 1 << bits)
    for _ in range(rounds):
        # A region takes its lower edge; only the last takes its upper one too.
        inner = np.searchsorted(grid, (levels[:-1] + levels[1:]) / 2.0, side="left")
        edges = [0, *inner.tolist(), grid.size]
        moved = levels.copy()
        for i, (start, stop) in enumerate(itertools.pairwise(edges)):
            if stop - start > 1:
                x, p = grid[start:stop], density[start:stop]
                moved[i] = _integral(x * p, x) / max(_integral(p, x), 1e-10)
        if np.allclose(levels, moved, atol=1e-10):
            break
        levels = moved
    return sorted(levels.tolist())
