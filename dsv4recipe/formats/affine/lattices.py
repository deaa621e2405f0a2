"""Floor 1, formats. Lattices to start a fit of an FP4 group from, and what each value of the group errs on each. This
module is pure.

In half units of the block with the greatest scale, FP4 values are 0, ±1, ±2, ±3, ±4, ±6, ±8, ±12, whatever the scale,
so one set of lattices serves all groups, and its errors are known before any weight is read.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from dsv4recipe.formats.affine.kernels.fit.seeds import DELTAS, SEEDS
from dsv4recipe.formats.kernels.tables import FP4

Floats = NDArray[np.float32]

STEP = {2: 1 / 4, 3: 1 / 8, 4: 1 / 16, 5: 1 / 32, 6: 1 / 64, 8: 1 / 256}
"""Distance of neighbouring scales, by bits: 16 to 22 of them, all with few enough bits for every stored type."""
START = 1 / 4
"""Distance of neighbouring biases."""


@cache
def seeds(bits: int) -> tuple[Floats, Floats, Floats]:
    """Returns (scales [n], biases [n], tables [DELTAS, n/SEEDS, 15·SEEDS]): lattices that reach from at least a range
    of 10 to a range of 26 half units, begin at -13 to 1 and end at -1 to 13.5. Each quotient is rounded once, to
    float64."""
    levels, step = (1 << bits) - 1, STEP[bits]
    scales = [k * step for k in range(int(-(-10 // (levels * step))), int(26 / (levels * step)) + 1)]
    biases = [k * START for k in range(int(-13 / START), int(1 / START) + 1)]
    found = [(s, z) for s in scales for z in biases if -1 <= z + levels * s <= 13.5]
    found += [found[-1]] * (-len(found) % SEEDS)
    s, z = np.array(found).T
    units = 2 * np.delete(FP4, 8).astype(np.float64)
    tables = np.empty((DELTAS, len(found) // SEEDS, 15 * SEEDS), np.float32)
    for delta in range(DELTAS):
        values = units[:, None] * 2.0**-delta
        codes = np.clip(np.rint((values - z) / s), 0, levels)
        errors = (values - (codes * s + z)) ** 2
        tables[delta] = errors.reshape(15, -1, SEEDS).transpose(1, 0, 2).reshape(-1, 15 * SEEDS)
    result = s.astype(np.float32), z.astype(np.float32), tables
    for array in result:
        array.flags.writeable = False
    return result
