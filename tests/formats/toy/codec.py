"""Encoder and decoder of the toy format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsv4recipe.formats.base import SourceTensor
from dsv4recipe.formats.decode import Bytes, Floats
from dsv4recipe.formats.encode import Empty, blocks
from tests.formats.toy.spec import Toy


def encode(
    fmt: Toy,
    source: SourceTensor,
    weight: Bytes,
    scale: Bytes | None,
    empty: Empty,
    columns: Floats | None = None,
) -> tuple[NDArray[Any], ...]:
    rows, width = source.shape
    signs, means = empty((rows, width // 8), np.uint8), empty((rows, 1), np.float32)
    for start, block in blocks(source, weight, scale, empty):
        part = slice(start, start + len(block))
        signs[part] = np.packbits(block < 0, axis=1)
        means[part, 0] = np.abs(block).mean(axis=1)
    return signs, means


def decode(fmt: Toy, source: SourceTensor, arrays: Sequence[NDArray[Any]]) -> Floats:
    negative = np.unpackbits(np.ascontiguousarray(arrays[0]), axis=1).astype(bool)
    return np.where(negative, -arrays[1], arrays[1]).astype(np.float32)
