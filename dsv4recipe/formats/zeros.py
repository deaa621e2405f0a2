"""Floor 1, formats. Stretches of a source that hold nothing but zeros, as a download that broke off leaves them. Pure.

A disk sector is the unit: a matrix that was trained has a code that is not zero in each of them. Only the first word of
every sector is looked at, and more where that is zero, so counting costs next to nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SECTOR = 512
"""Bytes."""


def zero_sectors(raw: NDArray[np.uint8]) -> tuple[int, int]:
    """Returns (sectors of nothing but zero bytes, all whole sectors) of the raw bytes of a weight; what is left over at
    the end does not count."""
    count = raw.size // SECTOR
    words = raw[: count * SECTOR].view(np.uint64).reshape(count, SECTOR // 8)
    suspect = np.flatnonzero(words[:, 0] == 0)
    return int((~words[suspect].any(axis=1)).sum()), count
