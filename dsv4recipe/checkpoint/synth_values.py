"""Floor 1, checkpoint. Draws the values of a synthetic checkpoint in the storage formats of the real one. Pure, numpy.

A tensor's bytes follow from (seed, name, shape) alone. The random stream is PCG64's raw output and the normal
distribution a table of quantiles, so neither numpy's version nor the machine changes a byte.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from dsv4recipe.checkpoint.family import ExpectedTensor

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

_BLOCK = 1 << 18
"""How many elements are handled at a time, so that they stay in the processor's cache."""
_HEIGHT = 128
"""The number of rows handled at a time is a multiple of an FP8 tile's rows, or of this."""
_POOL_ROWS = 2048
_POOLED = 1 << 20
"""FP4 tensors with more elements take their rows from one pool of rows per width, because encoding every expert of a
slice would take minutes."""


@lru_cache(maxsize=1)
def _bell() -> Floats:
    """Returns 65,536 quantiles of the standard normal distribution; the index is the probability in 1/65,536."""
    upper = [NormalDist().inv_cdf((index + 0.5) / 65536) for index in range(32768, 65536)]
    return np.array([-value for value in reversed(upper)] + upper, dtype=np.float32)


class Draw:
    """The random stream of one tensor."""

    def __init__(self, seed: int, name: str) -> None:
        key = hashlib.sha256(f"{seed} {name}".encode()).digest()
        self._stream = np.random.PCG64(int.from_bytes(key[:16], "little"))

    def words(self, count: int) -> NDArray[np.uint16]:
        """Returns `count` random 16-bit words."""
        raw: NDArray[np.uint64] = self._stream.random_raw(-(-count // 4))
        return raw.astype("<u8", copy=False).view(np.uint16)[:count]

    def normal(self, shape: tuple[int, ...], std: float) -> Floats:
        """Returns normally distributed float32 values of mean 0."""
        values = _bell()[self.words(int(np.prod(shape)))].reshape(shape)
        values *= np.float32(std)
        return values


def minifloat(magnitude: Floats, mantissa: int, bias: int) -> Bytes:
    """Returns the codes of the nearest values (ties to even) of a small unsigned float; `magnitude` is in its range.

    E2M1 has 1 mantissa bit and bias 1, E4M3 has 3 and bias 7. Normal numbers are float32 with a shorter mantissa, so
    that is rounded and the bias is changed. Subnormal numbers are multiples of the smallest one.
    """
    drop = 23 - mantissa
    bits = magnitude.view(np.uint32)
    normal = (bits + np.uint32((1 << (drop - 1)) - 1) + ((bits >> drop) & 1)) >> drop
    small = np.rint(magnitude * np.float32(2.0 ** (bias - 1 + mantissa))).astype(np.uint32)
    codes = np.where(magnitude < np.float32(2.0 ** (1 - bias)), small, normal - np.uint32((127 - bias) << mantissa))
    return codes.astype(np.uint8)


def ceil_exponent(amax: Floats, top: float) -> NDArray[np.int32]:
    """Returns ceil(log2(amax / top)) exactly, and 0 where amax is 0. See docs/reference/checkpoint.md."""
    fraction, exponent = np.frexp(amax / np.float32(top))
    return np.asarray(exponent - (fraction == np.float32(0.5)), dtype=np.int32)


def power_of_two(exponent: NDArray[np.int32]) -> Floats:
    """Returns 2^exponent for exponents of normal float32 numbers."""
    return ((exponent + 127) << 23).view(np.float32)


def fp4(values: Floats) -> tuple[Bytes, Bytes]:
    """Encodes [rows, columns] as E2M1 pairs [rows, columns/2], low nibble first, and E8M0 scales [rows, columns/32]."""
    rows, columns = values.shape
    groups = values.reshape(rows, columns // 32, 32)
    exponent = ceil_exponent(np.abs(groups).max(-1), 6.0)
    scaled = (groups * power_of_two(-exponent)[..., None]).reshape(rows, columns)
    codes = minifloat(np.abs(scaled), 1, 1) | (np.signbit(scaled).view(np.uint8) << 3)
    return codes[:, 0::2] | (codes[:, 1::2] << 4), (exponent + 127).astype(np.uint8)


def fp8(values: Floats, tile: tuple[int, ...]) -> tuple[Bytes, Bytes]:
    """Encodes [rows, columns], multiples of the tile, as E4M3 codes of that shape and one E8M0 scale per tile."""
    rows, columns = values.shape
    tiles = values.reshape(rows // tile[0], tile[0], columns // tile[1], tile[1])
    exponent = ceil_exponent(np.abs(tiles).max((1, 3)), 448.0)
    scaled = (tiles * power_of_two(-exponent)[:, None, :, None]).reshape(rows, columns)
    codes = minifloat(np.abs(scaled), 3, 7) | (np.signbit(scaled).view(np.uint8) << 7)
    return codes, (exponent + 127).astype(np.uint8)


@lru_cache(maxsize=4)
def _pool(seed: int, width: int) -> tuple[Bytes, Bytes]:
    """Returns the encoded FP4 rows from which all large tensors of one width choose."""
    draw = Draw(seed, f"rows of {width}")
    step = max(1, _BLOCK // width)
    parts = [fp4(draw.normal((min(step, _POOL_ROWS - n), width), width**-0.5)) for n in range(0, _POOL_ROWS, step)]
    return np.concatenate([codes for codes, _ in parts]), np.concatenate([scales for _, scales in parts])


def bf16(values: Floats) -> NDArray[np.uint16]:
    """Converts float32 to bfloat16 bits, rounding to nearest, ties to even."""
    bits = values.view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def hash_table(draw: Draw, shape: tuple[int, ...], experts: int) -> NDArray[np.int64]:
    """Returns tid2eid [vocab, topk]: the experts of each token, all different: an arithmetic series modulo
    `experts`."""
    coprime = np.array([step for step in range(1, max(2, experts)) if np.gcd(step, experts) == 1])
    words = draw.words(2 * shape[0]).astype(np.int64)
    start, step = words[: shape[0], None], coprime[words[shape[0] :] % len(coprime)][:, None]
    return np.asarray((start + step * np.arange(shape[1])) % experts, dtype="<i8")


def _spread(name: str, shape: tuple[int, ...]) -> tuple[float, float]:
    """Returns (mean, standard deviation) of a tensor: those of a working model if it is small, by fan-in for
    matrices."""
    if name.endswith(("norm.weight", "norm1.weight", "norm2.weight", "engram.q_weight", "engram.k_weight")):
        return 1.0, 0.05
    if name.endswith("_scale"):
        return 0.1, 0.0
    if name.endswith(("_base", "attn_sink", ".bias", ".bias_vl", ".ape")):
        return 0.0, 0.1
    unit = name.endswith("embed.weight") or name.startswith("image_")
    return 0.0, 1.0 if unit else float(shape[-1]) ** -0.5


def blocks(tensor: ExpectedTensor, seed: int, experts: int) -> Iterator[tuple[bytes, bytes]]:
    """Yields the stored bytes of a logical tensor as (data, scale data) in pieces; a plain tensor's scale is b""."""
    draw = Draw(seed, tensor.name)
    if tensor.stored == "int":
        yield hash_table(draw, tensor.shape, experts).tobytes(), b""
        return
    if tensor.stored == "fp4" and tensor.shape[0] * tensor.shape[1] > _POOLED:
        codes, scales = _pool(seed, tensor.shape[1])
        rows = draw.words(tensor.shape[0]) % _POOL_ROWS
        yield codes[rows].tobytes(), scales[rows].tobytes()
        return
    mean, std = _spread(tensor.name, tensor.shape)
    width = int(np.prod(tensor.shape[1:]))
    height = tensor.tile[0] if tensor.tile else _HEIGHT
    step = max(1, _BLOCK // (width * height)) * height
    for first in range(0, tensor.shape[0], step):
        count = min(step, tensor.shape[0] - first)
        values = draw.normal((count, width), std)
        if tensor.stored in ("fp4", "fp8"):
            codes, scales = fp4(values) if tensor.stored == "fp4" else fp8(values, tensor.tile)
            yield codes.tobytes(), scales.tobytes()
            continue
        values += np.float32(mean)
        yield (bf16(values).astype("<u2") if tensor.stored == "bf16" else values.astype("<f4")).tobytes(), b""
