"""Floor 1, formats. What a calibrated fit knows of a matrix's inputs: H, its factor, the order of the columns. This
module is pure.

H = Σ xᵀx / n over the inputs x of a matrix, so that tr(ΔW·H·ΔWᵀ) is the mean squared error of its outputs. H of few
rows is shrunk towards that of a pool: with n rows, n/(n + SHRINK) of it is its own. The mean of the diagonal, times
RIDGE, is added to the diagonal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dsv4recipe.formats.kernels.calibrated.factor import BLOCK, factor
from dsv4recipe.formats.kernels.calibrated.moments import add_rows, blend, mirror
from dsv4recipe.formats.kernels.calibrated.product import DEPTH
from dsv4recipe.formats.kernels.energy import add_squares

Floats = NDArray[np.float32]
Rows = Callable[[], Iterable[Floats]]
"""Gives the inputs anew each time: float32 [n, columns], at most DEPTH rows at a time."""

RIDGE = np.float32(0.02)
SHRINK = 512
_LEAST_PIVOT = np.float32(1e-4)
"""Of the mean of the diagonal: no pivot is smaller, whatever rounding did to it. RIDGE alone keeps all above 0.02."""


@dataclass(frozen=True)
class Pool:
    """What inputs are like in a layer as a whole: the mean of xᵀx over a sample, float32 [size · size], its upper
    triangle given."""

    h: Floats
    size: int

    @property
    def diagonal(self) -> Floats:
        return self.h[:: self.size + 1]


@dataclass(frozen=True)
class Moments:
    """Everything that `encode` needs of a matrix's inputs. Column `order[j]` is rounded at place j, the last place
    first. h and u: float32 [size · size]: H with both triangles, and U of H = Uᵀ·D·U above its diagonal; pivots
    float32 [size], D. `rows` is how many inputs of the matrix's own are in it."""

    order: NDArray[np.int64]
    h: Floats
    u: Floats
    pivots: Floats
    rows: int

    @property
    def nbytes(self) -> int:
        return self.h.nbytes + self.u.nbytes


def pooled(rows: Rows, size: int) -> Pool:
    """Returns the pool of a sample of inputs."""
    order = np.arange(size, dtype=np.int64)
    h, count = _sum(rows, order)
    if count:
        h *= np.float32(1.0 / count)
    return Pool(h, size)


def moments(rows: Rows, count: int, size: int, group: int, pool: Pool | None) -> Moments:
    """Moments of a matrix with `size` columns (a multiple of 32), whose columns are rounded by groups of `group`.

    `count` is the number of rows; without a pool it must not be 0. Groups with much energy are rounded first, when
    errors still have many columns to go to, and so are columns within a group.
    """
    own = np.float32(count / (count + SHRINK)) if pool is not None else np.float32(1.0)
    rest = np.float32(1.0 - own)
    squares = np.zeros(size, np.float64)
    for block in rows():
        add_squares(block, squares)
    energy = squares * (float(own) / max(1, count))
    if pool is not None:
        energy = energy + float(rest) * pool.diagonal.astype(np.float64)
    order = rounding_order(energy, group)
    h, _ = _sum(rows, order)
    given = np.zeros(1, np.float32) if pool is None else pool.h
    mean = blend(h, size, np.float32(float(own) / max(1, count)), given, rest, order, RIDGE)
    mirror(h, size)
    u, pivots = h.copy(), np.empty(size, np.float32)
    left, right = np.empty((2, size * BLOCK), np.float32)
    factor(u, size, np.float32(mean * _LEAST_PIVOT) if mean > 0 else np.float32(1.0), pivots, left, right)
    return Moments(order, h, u, pivots, count)


def rounding_order(energy: NDArray[np.float64], group: int) -> NDArray[np.int64]:
    """int64 [columns]: groups by rising energy, columns by rising energy within their group; ties as they
    stand."""
    by_group = energy.reshape(-1, group)
    # Sums by hand, because numpy's own depend on the machine's vectors.
    total = np.zeros(len(by_group), np.float64)
    for j in range(group):
        total += by_group[:, j]
    groups = np.argsort(total, kind="stable")
    inner = np.argsort(by_group, axis=1, kind="stable")
    found: NDArray[np.int64] = (groups[:, None] * group + inner[groups]).ravel().astype(np.int64)
    return found


def _sum(rows: Rows, order: NDArray[np.int64]) -> tuple[Floats, int]:
    """Returns upper triangle of Σ xᵀx in the given order, float32 [size · size], and the number of rows."""
    size = len(order)
    h, count = np.zeros(size * size, np.float32), 0
    scratch = np.empty(DEPTH * size, np.float32)
    for block in rows():
        add_rows(block, order, scratch, h)
        count += len(block)
    return h, count
