"""Floor 4, files. Reuses a thread's memory for each piece, because new pages cost more than filling them."""

from __future__ import annotations

import threading
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_LINE = 64


class Arena(threading.local):
    """One block of memory per thread. The arrays that `empty` returned are free again at the next `begin`."""

    def __init__(self) -> None:
        self._memory = np.empty(0, np.uint8)
        self._wanted = 0

    def begin(self) -> None:
        """Takes all memory back, and makes room for as much as was requested since the last call."""
        if self._wanted > self._memory.nbytes:
            self._memory = np.empty(self._wanted, np.uint8)
        self._wanted = 0

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Returns an uninitialised C-contiguous array, from new memory if the block is too small."""
        size, start = prod(shape) * np.dtype(dtype).itemsize, self._wanted
        self._wanted = start + -(-size // _LINE) * _LINE
        if self._wanted > self._memory.nbytes:
            return np.empty(shape, dtype)
        return self._memory[start : start + size].view(dtype).reshape(shape)
