"""Floor 1, formats, kernels. Lookup tables of the source encodings, exact in float32. This module is pure.

See docs/reference/checkpoint.md (E2M1, E4M3FN, E8M0). Kernels take them as arguments: a table they read
as a global would be frozen into cached machine code.
"""

from __future__ import annotations

import numpy as np

_MAGNITUDES = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]
FP4 = np.array(_MAGNITUDES + [-m for m in _MAGNITUDES], np.float32)
"""float32 [16]: the value of each E2M1 code."""

FP4_PAIRS = FP4[np.stack([np.arange(256) & 15, np.arange(256) >> 4], axis=1)].view(np.uint64).ravel()
"""uint64 [256]: the two float32 values of a byte, low nibble first, as they lie in memory."""


def _e4m3(code: int) -> float:
    sign = -1.0 if code & 0x80 else 1.0
    exponent, mantissa = code >> 3 & 15, code & 7
    if code & 0x7F == 0x7F:
        return float("nan")
    return sign * (mantissa * 2.0**-9 if exponent == 0 else (8 + mantissa) * 2.0 ** (exponent - 10))


FP8 = np.array([_e4m3(code) for code in range(256)], np.float32)
"""float32 [256]: the value of each E4M3FN byte; 0x7F and 0xFF are NaN."""

E8M0 = np.array([*(2.0 ** (byte - 127) for byte in range(255)), np.nan], np.float32)
"""float32 [256]: 2^(byte-127), byte 0 a subnormal; 0xFF is NaN."""
