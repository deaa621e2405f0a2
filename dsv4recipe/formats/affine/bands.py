"""Floor 1, formats. What relative RMSE affine quantization was measured to give, by bits and group size. Pure data.

`python benchmarks/bands.py` measures it; docs/explanation/numbers.md has what that printed.
"""

from __future__ import annotations

from collections.abc import Mapping

MEASURED: Mapping[tuple[int, int], tuple[float, float]] = {
    (2, 32): (0.3156, 0.4330), (2, 64): (0.3228, 0.4995), (2, 128): (0.3270, 0.5642),
    (3, 32): (0.1399, 0.2005), (3, 64): (0.1431, 0.2412), (3, 128): (0.1442, 0.2817),
    (4, 32): (0.0649, 0.0954), (4, 64): (0.0665, 0.1132), (4, 128): (0.0674, 0.1344),
    (5, 32): (0.0311, 0.0466), (5, 64): (0.0319, 0.0553), (5, 128): (0.0323, 0.0651),
    (6, 32): (0.0152, 0.0234), (6, 64): (0.0156, 0.0279), (6, 128): (0.0158, 0.0329),
    (8, 32): (0.0045, 0.0077), (8, 64): (0.0045, 0.0091), (8, 128): (0.0044, 0.0108),
}  # fmt: skip
"""(bits, group size) → least and greatest relative RMSE over Gaussian, Laplace, Student-t(5), uniform and
outlier-ridden weights, each as float, through FP8 tiles and through FP4 groups, with `fit: minmax`."""
