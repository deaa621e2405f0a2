"""Floor 1, formats, kernels. Source bytes → float32 rows, exactly; and the search for what is not finite."""

from __future__ import annotations

import numpy as np

from dsv4recipe.formats.kernels.jit import kernel
from dsv4recipe.formats.kernels.tables import E8M0, FP4_PAIRS


@kernel
def _fp4(packed, exponents, pairs, powers, out_pairs, out):  # type: ignore[no-untyped-def]
    for r in range(packed.shape[0]):
        source, row = packed[r], out_pairs[r]
        for j in range(source.size):
            row[j] = pairs[source[j]]
        for block in range(exponents.shape[1]):
            factor = powers[exponents[r, block]]
            values = out[r, block * 32 : block * 32 + 32]
            for j in range(values.size):
                values[j] *= factor


@kernel
def _fp8(codes, exponents, powers, tile_rows, tile_columns, first_row, out):  # type: ignore[no-untyped-def]
    """Values are computed, not looked up, so that the loop vectorises: exponent and mantissa moved to float32's."""
    for r in range(codes.shape[0]):
        scales = exponents[(first_row + r) // tile_rows]
        for tile in range(scales.size):
            factor = powers[scales[tile]]
            source = codes[r, tile * tile_columns : (tile + 1) * tile_columns]
            values = out[r, tile * tile_columns : (tile + 1) * tile_columns]
            for j in range(source.size):
                code = np.uint32(source[j])
                magnitude = np.uint32(code & np.uint32(0x7F))
                normal = np.uint32(np.uint32(magnitude << np.uint32(20)) + np.uint32(120 << 23))
                small = np.float32(np.float32(np.int32(magnitude)) * np.float32(2.0**-9)).view(np.uint32)
                bits = small if magnitude < np.uint32(8) else normal
                bits = np.uint32(0x7FC00000) if magnitude == np.uint32(0x7F) else bits
                bits = np.uint32(bits | np.uint32(np.uint32(code & np.uint32(0x80)) << np.uint32(24)))
                values[j] = bits.view(np.float32) * factor


@kernel
def bf16_values(bits, out):  # type: ignore[no-untyped-def]
    """bits uint16 [n] → out uint32 [n], the bits of the same float32 values."""
    for i in range(bits.size):
        out[i] = np.uint32(np.uint32(bits[i]) << np.uint32(16))


@kernel
def first_not_finite(bits):  # type: ignore[no-untyped-def]
    """Index of the first Inf or NaN among float32 values given as int32 bits; -1 if there is none."""
    for start in range(0, bits.size, 4096):
        chunk = bits[start : start + 4096]
        most = np.int32(0)
        for j in range(chunk.size):
            most = max(most, np.int32(chunk[j] & np.int32(0x7FFFFFFF)))
        if most >= 0x7F800000:
            for j in range(chunk.size):
                if (chunk[j] & 0x7FFFFFFF) >= 0x7F800000:
                    return start + j
    return -1


@kernel
def any_fp8_nan(codes):  # type: ignore[no-untyped-def]
    """Whether uint8 E4M3FN codes hold a NaN (0x7F or 0xFF)."""
    for start in range(0, codes.size, 4096):
        chunk = codes[start : start + 4096]
        found = np.uint8(0)
        for j in range(chunk.size):
            found = np.uint8(found | np.uint8(np.uint8(chunk[j] & np.uint8(0x7F)) == np.uint8(0x7F)))
        if found:
            return True
    return False


Array = np.ndarray


def fp4_rows(packed: Array, exponents: Array, out: Array) -> None:
    """packed uint8 [n, in/2], exponents uint8 [n, ceil(in/32)] → out float32 [n, in]."""
    _fp4(packed, exponents, FP4_PAIRS, E8M0, out.view(np.uint64), out)


def fp8_rows(codes: Array, exponents: Array, tile: tuple[int, ...], first_row: int, out: Array) -> None:
    """codes uint8 [n, in]: rows `first_row`… of a tensor whose tiles have the scales `exponents` → out float32."""
    _fp8(codes, exponents, E8M0, tile[0], tile[1], first_row, out)


def mxfp8_rows(codes: Array, exponents: Array, out: Array) -> None:
    """codes uint8 [n, in], exponents uint8 [n, in/32] → out float32 [n, in]."""
    _fp8(codes, exponents, E8M0, 1, 32, 0, out)
