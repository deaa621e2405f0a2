"""Floor 1, records. Packs rows of inputs as bfloat16, or as 8 bits with a scale per row. This module is pure."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
KINDS = ("int8", "bf16")


def packed(rows: Floats, kind: str) -> tuple[NDArray[Any], Floats | None]:
    """Packs finite float32 [n, columns] into int8 of that shape and float32 [n], value = code · scale; or into uint16,
    the bits of bfloat16 to nearest even, and None."""
    if kind == "bf16":
        bits = np.ascontiguousarray(rows).view(np.uint32)
        return ((bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16).astype(np.uint16), None
    scales = (np.abs(rows).max(axis=1, initial=0.0) / np.float32(127)).astype(np.float32)
    safe = np.where(scales > 0, scales, np.float32(1))
    return np.rint(rows / safe[:, None]).astype(np.int8), scales


def unpacked(values: NDArray[Any], scales: Floats | None) -> Floats:
    """Returns what `packed` was given, as float32."""
    if scales is None:
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float32) * scales[:, None]
