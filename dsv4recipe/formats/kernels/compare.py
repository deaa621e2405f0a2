"""Floor 1, formats, kernels. How far one float32 array is from another: sums in float64, in a fixed order."""

from __future__ import annotations

import numpy as np

from dsv4recipe.formats.kernels.jit import kernel


@kernel
def _distance(exact, seen, out):  # type: ignore[no-untyped-def]
    """Eight running sums, so that additions do not wait for each other."""
    error = np.zeros(8, np.float64)
    power = np.zeros(8, np.float64)
    most = np.zeros(8, np.float64)
    whole = exact.size // 8 * 8
    for i in range(0, whole, 8):
        for j in range(8):
            w = np.float64(exact[i + j])
            gap = np.float64(seen[i + j]) - w
            error[j] += gap * gap
            power[j] += w * w
            gap = abs(gap)
            most[j] = gap if gap > most[j] else most[j]
    for i in range(whole, exact.size):
        w = np.float64(exact[i])
        gap = np.float64(seen[i]) - w
        error[0] += gap * gap
        power[0] += w * w
        gap = abs(gap)
        most[0] = gap if gap > most[0] else most[0]
    for j in range(8):
        out[0] += error[j]
        out[1] += power[j]
        out[2] = most[j] if most[j] > out[2] else out[2]


def distance(exact: np.ndarray, seen: np.ndarray) -> tuple[float, float, float]:
    """(Σ(seen−exact)², Σexact², max|seen−exact|) of two finite float32 arrays of one size."""
    out = np.zeros(3, np.float64)
    _distance(exact.ravel(), seen.ravel(), out)
    return float(out[0]), float(out[1]), float(out[2])
