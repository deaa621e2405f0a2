"""Floor 1, formats. A digest of what the encoders of this machine make of fixed blocks. This module is pure.

Two machines may build one bundle together only if they agree here: the promise that strict IEEE float32 gives the same
bytes everywhere is checked, not assumed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsv4recipe.formats.base import Format, SourceTensor, wants_importance, wants_moments
from dsv4recipe.formats.calibrated.encode import encode_calibrated, rotated
from dsv4recipe.formats.calibrated.moments import moments
from dsv4recipe.formats.decode import INTEGERS, Bytes
from dsv4recipe.formats.encode import encode

_ROWS = 128
"""Rows of a block: a whole tile of FP8."""


def encoders_digest(used: Iterable[tuple[Format, SourceTensor]]) -> str:
    """Returns sha256 over the encoded blocks of all distinct pairs: 128 rows of the tensor's width, whose values follow
    from the pair alone and are all finite."""
    blocks = {}
    for fmt, source in used:
        shape = (min(_ROWS, source.shape[0]), *source.shape[1:]) if source.shape else ()
        block = replace(source, shape=shape)
        blocks[repr((fmt, block))] = fmt, block
    digest = hashlib.sha256()
    for name, (fmt, source) in sorted(blocks.items()):
        digest.update(name.encode())
        for array in _encoded(fmt, source, name):
            digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.hexdigest()


def _encoded(fmt: Format, source: SourceTensor, name: str) -> tuple[NDArray[Any], ...]:
    if wants_moments(fmt):
        inputs = np.frombuffer(hashlib.shake_128(f"{name} inputs".encode()).digest(64 * source.shape[1]), np.int8)
        rows = rotated(fmt, inputs.reshape(64, -1).astype(np.float32))
        found = moments(lambda: [rows], len(rows), source.shape[1], fmt.rounding_group, None)
        return encode_calibrated(fmt, source, *_fixed(source, name), found)
    importance = _importance(source, name) if wants_importance(fmt) else None
    return encode(fmt, source, *_fixed(source, name), importance=importance)


def _importance(source: SourceTensor, name: str) -> NDArray[np.float32]:
    """Returns float32 [columns], 1 to 256."""
    found = hashlib.shake_128(f"{name} importance".encode()).digest(source.shape[-1])
    return np.frombuffer(found, np.uint8).astype(np.float32) + np.float32(1)


def _fixed(source: SourceTensor, name: str) -> tuple[Bytes, Bytes | None]:
    """Returns weight and scale bytes of a block."""

    def stream(size: int, what: str) -> Bytes:
        return np.frombuffer(hashlib.shake_128(f"{name} {what}".encode()).digest(size), np.uint8)

    count = int(np.prod(source.shape))
    match source.stored:
        case "fp4":
            return stream(count // 2, "weight"), 100 + stream(count // 32, "scale") % np.uint8(28)
        case "fp8":
            codes = stream(count, "weight")
            tiles = -(-source.shape[0] // source.tile[0]) * -(-source.shape[1] // source.tile[1])
            return np.where(codes & 0x7F == 0x7F, np.uint8(0), codes), 110 + stream(tiles, "scale") % np.uint8(16)
        case "bf16":
            words = stream(2 * count, "weight").view("<u2")
            return (words & 0x807F | (110 + (words >> 7) % 16 << 7)).astype("<u2").view(np.uint8), None
        case "f16":
            words = stream(2 * count, "weight").view("<u2")
            return (words & 0xBFFF).astype("<u2").view(np.uint8), None
        case "f32":
            bits = stream(4 * count, "weight").view("<u4")
            return (bits & 0x807FFFFF | (110 + (bits >> 23) % 16 << 23)).astype("<u4").view(np.uint8), None
    return stream(np.dtype(INTEGERS[source.dtype]).itemsize * count, "weight"), None
