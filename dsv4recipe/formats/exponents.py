"""Floor 1, formats. Scales that are stored as floats, as the E8M0 bytes that they mean. This module is pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

NO_SCALE = 255
"""E8M0's NaN: what a float that is no power of two becomes, so that whoever decodes it finds it."""


def exponents(dtype: str, raw: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns E8M0 bytes, one per float of the raw bytes; `dtype` is F32 or BF16. Exact: a float that is no power of
    two from 2^-127 to 2^127 becomes `NO_SCALE`."""
    bits = raw.view("<u4") if dtype == "F32" else raw.view("<u2").astype(np.uint32) << 16
    found = (bits >> 23).astype(np.uint8)  # sign 0 and mantissa 0: just the exponent, with the same bias
    odd = ((bits & 0x807FFFFF) != 0) | (found == 0) | (found == NO_SCALE)
    return np.where(bits == 1 << 22, 0, np.where(odd, NO_SCALE, found)).astype(np.uint8)
