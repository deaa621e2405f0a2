"""Floor 1, formats. Integers that number something: the first one that numbers what is not there. This module is
pure."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsv4recipe.formats.decode import INTEGERS


def first_outside(raw: NDArray[np.uint8], dtype: str, below: int) -> tuple[int, int]:
    """Returns (flat position, value) of the first number that is not in [0, `below`); (-1, 0) where all are. `raw`
    holds the bytes of integers of safetensors dtype `dtype`."""
    values: NDArray[Any] = raw.reshape(-1).view(INTEGERS[dtype])
    if not values.size or (values.min() >= 0 and values.max() < below):
        return -1, 0
    position = int(((values < 0) | (values >= below)).argmax())
    return position, int(values[position])
