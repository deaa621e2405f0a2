"""Floor 4, files. Memory that a thread uses again for each piece: new pages cost more than what is put into them."""

from __future__ import annotations

import threading
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_LINE = 64


class Arena(threading.local):
    """One block of memory per thread. What `empty` gave is free again at the next `begin`."""

    def __init__(self) -> None:
        self._memory = np.empty(0, np.uint8)
        self._wanted = 0

    def begin(self) -> None:
        """Takes all memory back, and makes room for as much as was asked for since the last time."""
        if self._wanted > self._memory.nbytes:
            self._memory = np.empty(self._wanted, np.uint8)
        self._wanted = 0

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """A C-contiguous array with whatever is in it; of fresh memory where the block is too small."""
        size, start = prod(shape) * np.dtype(dtype).itemsize, self._wanted
        self._wanted = start + -(-size // _LINE) * _LINE
        if self._wanted > self._memory.nbytes:
            return np.empty(shape, dtype)
        return self._memory[start : start + size].view(dtype).reshape(shape)
