"""Floor 1, formats, kernels, fit. Numbers as they are stored, and the float32 constants of the loops."""

from __future__ import annotations

import numpy as np

from dsv4recipe.formats.kernels.jit import kernel

ROUND = np.float32(12582912.0)
"""1.5 * 2^23: adding it rounds to an integer, half to even, left in the low bits; to be taken off again."""
LIMIT = np.float32(4194304.0)
"""2^22: that holds below."""
ZERO = np.float32(0.0)
HALF = np.float32(0.5)
ONE = np.float32(1.0)
INFINITE = np.float32(np.inf)
LEAST_STEP = np.float32(2.0**-20)
"""No seed and no fit has a smaller scale, in units of its group."""


@kernel
def stored(x, kind):  # type: ignore[no-untyped-def]
    """float32 → the nearest value of the stored type, ties to even: kind 0 float32, 1 bfloat16, 2 float16."""
    if kind == 1:
        return to_bfloat16(x)
    return to_float16(x) if kind == 2 else np.float32(x)


@kernel
def to_bfloat16(x):  # type: ignore[no-untyped-def]
    bits = np.float32(x).view(np.uint32)
    odd = np.uint32(np.uint32(bits >> np.uint32(16)) & np.uint32(1))
    bits = np.uint32(np.uint32(bits + np.uint32(0x7FFF)) + odd)
    return np.uint32(bits & np.uint32(0xFFFF0000)).view(np.float32)


@kernel
def to_float16(x):  # type: ignore[no-untyped-def]
    bits = np.float32(x).view(np.uint32)
    sign = np.uint32(bits & np.uint32(0x80000000))
    size = np.uint32(bits & np.uint32(0x7FFFFFFF))
    odd = np.uint32(np.uint32(size >> np.uint32(13)) & np.uint32(1))
    half = np.uint32(np.uint32(size + np.uint32(np.uint32(0xFFF) + odd)) & np.uint32(0xFFFFE000))
    half = half if half < np.uint32(0x47800000) else np.uint32(0x7F800000)  # 65536 is infinite
    # Below 2^-14 float16 has steps of 2^-24, as float32 has at 0.5.
    small = np.float32(np.float32(size.view(np.float32) + HALF) - HALF).view(np.uint32)
    size = small if size < np.uint32(0x38800000) else half
    return np.uint32(size | sign).view(np.float32)


@kernel
def unit_of(x):  # type: ignore[no-untyped-def]
    """(unit, 1/unit): the power of two at or below x, kept within 2^±100."""
    exponent = np.int32(np.int32(np.float32(x).view(np.int32) >> 23) & 255)
    exponent = np.int32(27) if exponent < 27 else np.int32(227) if exponent > 227 else exponent
    return np.int32(exponent << 23).view(np.float32), np.int32(np.int32(254 - exponent) << 23).view(np.float32)
