"""Floor 1, formats, kernels. float32 → half bits, to nearest, ties to even, with a report of what overflows."""

from __future__ import annotations

import numpy as np

from dsv4recipe.formats.kernels.jit import kernel


@kernel
def _first(out, infinite):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        if (out[i] & 0x7FFF) >= infinite:
            return i
    return -1


@kernel
def bf16_bits(bits, out):  # type: ignore[no-untyped-def]
    """bits uint32 [n] of float32 values → out uint16 [n]. Index of the first that is not finite in bfloat16, or -1."""
    beyond = np.int32(0)
    for i in range(bits.size):
        magnitude = np.uint32(bits[i] & np.uint32(0x7FFFFFFF))
        even = np.uint32(np.uint32(magnitude >> np.uint32(16)) & np.uint32(1))
        half = np.uint32(np.uint32(magnitude + np.uint32(np.uint32(0x7FFF) + even)) >> np.uint32(16))
        half = half if half < np.uint32(0x7F80) else np.uint32(0x7F80)
        beyond = np.int32(beyond | np.int32(half == np.uint32(0x7F80)))
        out[i] = np.uint16(half | np.uint32(np.uint32(bits[i] >> np.uint32(16)) & np.uint32(0x8000)))
    return _first(out, 0x7F80) if beyond else -1


@kernel
def f16_bits(bits, out):  # type: ignore[no-untyped-def]
    """bits uint32 [n] of float32 values → out uint16 [n]. Index of the first that is not finite in float16, or -1.

    Below 2^-14 the addition of 0.5 does the rounding: a unit in the last place of 0.5 is float16's least step, 2^-24.
    """
    beyond = np.int32(0)
    for i in range(bits.size):
        magnitude = np.uint32(bits[i] & np.uint32(0x7FFFFFFF))
        even = np.uint32(np.uint32(magnitude >> np.uint32(13)) & np.uint32(1))
        half = np.uint32(np.uint32(magnitude + np.uint32(np.uint32(0xFFF) + even)) - np.uint32(112 << 23))
        half = np.uint32(half >> np.uint32(13))
        small = np.float32(np.uint32(magnitude).view(np.float32) + np.float32(0.5)).view(np.uint32)
        half = np.uint32(small - np.uint32(0x3F000000)) if magnitude < np.uint32(0x38800000) else half
        half = half if half < np.uint32(0x7C00) else np.uint32(0x7C00)
        beyond = np.int32(beyond | np.int32(half == np.uint32(0x7C00)))
        out[i] = np.uint16(half | np.uint32(np.uint32(bits[i] >> np.uint32(16)) & np.uint32(0x8000)))
    return _first(out, 0x7C00) if beyond else -1
