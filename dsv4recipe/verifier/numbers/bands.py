"""Floor 4, verifier. What relative RMSE a format gives: the band that was measured, and the limit beyond which stored
numbers are not those of their source. Pure data.

Bands: `python benchmarks/bands.py` (docs/numbers.md has what it printed): the least and the greatest over Gaussian,
Laplace, Student-t(5), uniform and outlier-ridden weights, each as float, through FP8 tiles and through FP4 groups,
group sizes 32, 64 and 128. Half of the least and one and a half times the greatest are the band: other weights, same
codec.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from dsv4recipe.formats import Affine, Format, Ggml, Keep, Mxtq
from dsv4recipe.formats.base import BLOCKS, wants_importance, wants_moments

Band = tuple[float, float]

MEASURED: Mapping[tuple[str, int | str, int], Band] = {
    ("affine", 2, 32): (0.3156, 0.4330), ("affine", 2, 64): (0.3228, 0.4995), ("affine", 2, 128): (0.3270, 0.5642),
    ("affine", 3, 32): (0.1399, 0.2005), ("affine", 3, 64): (0.1431, 0.2412), ("affine", 3, 128): (0.1442, 0.2817),
    ("affine", 4, 32): (0.0649, 0.0954), ("affine", 4, 64): (0.0665, 0.1132), ("affine", 4, 128): (0.0674, 0.1344),
    ("affine", 5, 32): (0.0311, 0.0466), ("affine", 5, 64): (0.0319, 0.0553), ("affine", 5, 128): (0.0323, 0.0651),
    ("affine", 6, 32): (0.0152, 0.0234), ("affine", 6, 64): (0.0156, 0.0279), ("affine", 6, 128): (0.0158, 0.0329),
    ("affine", 8, 32): (0.0045, 0.0077), ("affine", 8, 64): (0.0045, 0.0091), ("affine", 8, 128): (0.0044, 0.0108),
    ("mxtq", 2, 0): (0.3423, 0.3433), ("mxtq", 4, 0): (0.1004, 0.1007),
    ("ggml", "Q8_0", 0): (0.0038, 0.0068), ("ggml", "Q4_K", 0): (0.0536, 0.0846),
    ("ggml", "Q2_K", 0): (0.2185, 0.3539), ("ggml", "IQ2_XXS", 0): (0.3334, 0.4274),
}  # fmt: skip
"""(kind, bits or ggml type, group size) → least and greatest relative RMSE, whatever the importance."""

CASTS: Mapping[str, Band] = {"BF16": (0.0, 2.0**-8), "F16": (0.0, 2.0**-10), "F32": (0.0, 0.0)}
"""A plain cast is off by half a unit in the last place at most: 2^-9 and 2^-11, twice that for room near zero."""

_MXTQ_LIMIT = {2: 0.8, 4: 0.4}  # twice and four times what any weights give: rotated, all look alike
_CAST_LIMIT = 2.0**-5


def band(fmt: Format) -> Band | None:
    """The relative RMSE to expect of a lossy format, low and high; None where nothing was measured. A least-squares fit
    is never worse than minmax, and may be exact; one that is weighed by importance may be worse in this measure."""
    if isinstance(fmt, Keep):
        return CASTS.get(fmt.dtype)
    if wants_importance(fmt) or wants_moments(fmt):
        return None
    if isinstance(fmt, Ggml) and fmt.type in CASTS:
        return CASTS[fmt.type]
    found = MEASURED.get((fmt.kind, getattr(fmt, "bits", 0) or getattr(fmt, "type", 0), getattr(fmt, "group_size", 0)))
    least = 0.5 if getattr(fmt, "fit", "minmax") == "minmax" else 0.0
    return None if found is None else (found[0] * least, found[1] * 1.5)


def limit(fmt: Format) -> float:
    """The relative RMSE that no right encoding reaches, whatever the weights.

    Affine by minimum and maximum: a step is at most 2·max/(2^b − 1), the group's power at least max², so the error is
    at most √g/(2^b − 1) of it; half as much again for the rule that keeps zero exact (fact sheet mlx.md 2.1). Q8_0 in
    the same way, with half a step of max/127. Never above 0.95: numbers of another tensor of that size are off by √2.
    A fit by importance may give up on columns; one with feedback trades errors of weights for those of outputs.
    """
    if isinstance(fmt, Affine) and not wants_importance(fmt) and not wants_moments(fmt):
        return min(0.95, 1.5 * math.sqrt(fmt.group_size) / ((1 << fmt.bits) - 1))
    if wants_importance(fmt) or wants_moments(fmt):
        return 0.95
    if isinstance(fmt, Ggml) and fmt.type in BLOCKS:
        return 1.5 * math.sqrt(32) / 254 if fmt.type == "Q8_0" else 0.95
    if isinstance(fmt, Mxtq):
        return _MXTQ_LIMIT.get(fmt.bits, 0.95)
    return _CAST_LIMIT
