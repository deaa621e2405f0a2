"""Floor 1, formats, kernels. Least-squares fit of affine scale and bias, per group, for the numbers that are stored.

A group is `count` values with a weight each: its columns (`fit_f32`), or the 16 codes of each of its FP4 blocks,
weighted by what they occur (`fit_fp4`: 16 terms do for 32 columns). Grid: where all values of an FP4 group lie on one
grid of few enough steps, that is exact, and done. Seeds: the best lattices of a fixed set. Refinement: codes, and
least squares for them, in turn, each time rounded to the stored type. The judge decodes as runtimes do, in float32 and
in the stored type, and stays with what minmax stores unless the fit is better. Searching is float32 in units of the
group, judging float64; every operation is IEEE and in one order, so that the same bytes come out everywhere.
"""

from __future__ import annotations

import numpy as np

from dsv4recipe.formats.affine.kernels.fit.rows import rows_f32, rows_fp4
from dsv4recipe.formats.affine.kernels.fit.seeds import DELTAS, SEEDS
from dsv4recipe.formats.kernels.tables import E8M0, FP4

Array = np.ndarray
KINDS = {"F32": 0, "BF16": 1, "F16": 2}
_ONES = np.ones(32, np.float32)


def fit_f32(rows: Array, importance: Array, bits: int, group_size: int, dtype: str, out: Array) -> None:
    """rows float32 [n, in], finite; importance float32 [in], positive; dtype of stored scales and biases → out float32
    [4, n, in/group_size]: scales and biases as stored, scales and biases to choose the codes with. Those differ where
    minmax, which chooses codes before it rounds, is not bettered."""
    rows_f32(rows, importance, bits, group_size, KINDS[dtype], out)


def fit_fp4(
    packed: Array,
    exponents: Array,
    importance: Array | None,
    bits: int,
    group_size: int,
    dtype: str,
    seeds: tuple[Array, Array, Array] | None,
    out: Array,
) -> int:
    """Returns packed uint8 [n, in/2], exponents uint8 [n, in/32] whose values are finite in float32 → as `fit_f32`.
    `seeds`: `lattices.seeds(bits)`. Without seeds exact groups only: returns the flat index of the first other one,
    else -1."""
    weighted = importance is not None
    columns = _ONES if importance is None else importance
    search = seeds is not None
    steps, starts, tables = seeds if seeds is not None else (_ONES, _ONES, _NO_TABLES)
    return int(
        rows_fp4(
            packed, exponents, E8M0, FP4, weighted, columns, search, bits, group_size, KINDS[dtype], steps, starts,
            tables, out,
        )
    )  # fmt: skip


_NO_TABLES = np.zeros((DELTAS, 0, 15 * SEEDS), np.float32)
