"""Floor 4, verifier (child side). Fills the runtime's model class with the bundle's own tensors, decoded to float32.

This is an independent reader of the bundle. MXTQ is decoded in numpy with signs and codebooks from the bundle's
sidecar. The runtime computes its own, so agreement with it proves the sidecar too. mlx decodes the rest. Formula:
docs/reference/runtimes.md, "MXTQ tensors", w = H(codebook[code] * norm) * signs per power-of-two block. It is for tiny
bundles only.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from .adapter import Adapter
from .contents import Contents
from .skeleton import Skeleton
from .source import LIMIT

SIDECAR = "jangtq_runtime.safetensors"
_EXPERT = re.compile(r"\.experts\.(\d+)\.")


def decode_mxtq(
    packed: np.ndarray, norms: np.ndarray, bits: int, signs: np.ndarray, codebook: np.ndarray
) -> np.ndarray:
    """Returns float32 [..., out, in] from uint32 [..., out, in·bits/32], norms [..., out], signs [in], codebook
    [2^bits]."""
    shifts = np.arange(0, 32, bits, dtype=np.uint32)
    codes = (packed[..., None] >> shifts) & np.uint32((1 << bits) - 1)
    values = codebook[codes.reshape(*packed.shape[:-1], -1)] * norms[..., None].astype(np.float32)
    start, width = 0, values.shape[-1]
    while start < width:
        size = 1 << ((width - start).bit_length() - 1)
        values[..., start : start + size] = _hadamard(values[..., start : start + size])
        start += size
    return np.asarray(values * signs, np.float32)


def _hadamard(x: np.ndarray) -> np.ndarray:
    """Returns the orthonormal Walsh-Hadamard transform of the last axis (a power of two), in natural order."""
    shape, size, run = x.shape, x.shape[-1], 1
    while run < size:
        pairs = x.reshape(-1, size // (2 * run), 2, run)
        x = np.stack([pairs[:, :, 0] + pairs[:, :, 1], pairs[:, :, 0] - pairs[:, :, 1]], axis=2).reshape(-1, size)
        run *= 2
    return x.reshape(shape) / np.float32(math.sqrt(size))


def _experts(contents: Contents, names: list[str], tables: dict[str, Any], seed: int) -> mx.array:
    """Returns [experts, out, in] of one projection, from one stack or from tensors of single experts."""
    found: dict[int, np.ndarray] = {}
    for base in {name.rpartition(".")[0] for name in names}:
        packed, norms, bits = (np.array(contents.packed[f"{base}.tq_{part}"]) for part in ("packed", "norms", "bits"))
        width = packed.shape[-1] * 32 // int(bits.item())
        signs, codebook = tables[f"signs.{width}.{seed}"], tables[f"codebook.{width}.{int(bits.item())}"]
        number = _EXPERT.search(base)
        decoded = decode_mxtq(packed, norms, int(bits.item()), np.array(signs), np.array(codebook))
        found[int(number[1]) if number else 0] = decoded
    one = [found[number] for number in sorted(found)]
    return mx.array(np.stack(one) if one[0].ndim == 2 else one[0])


def decoded_model(runtime: Adapter, bundle: Path, frame: Skeleton, seed: int) -> Any:
    """Returns the bundle's model with every parameter filled (strictly) and nothing quantized. Raises MemoryError
    beyond LIMIT."""
    contents = frame.contents
    size = 4 * sum(math.prod(shape) for shape in frame.shapes.values())
    if size > LIMIT:
        raise MemoryError(f"the bundle is {size:,} bytes as float32; the comparison takes up to {LIMIT:,}")
    weights = dict(frame.weights)
    for path in frame.shapes:
        setting = frame.packed(path)
        if setting is not None and "broken" not in setting:
            scales, biases = weights.pop(f"{path}.scales"), weights.pop(f"{path}.biases", None)
            weights[f"{path}.weight"] = mx.dequantize(weights[f"{path}.weight"], scales, biases, **setting)
    if contents.tq:
        tables: Any = mx.load(str(bundle / SIDECAR))
        for path, names in contents.tq.items():
            weights[f"{path}.weight"] = _experts(contents, names, tables, seed)
    floats = (mx.float16, mx.bfloat16)
    filled = {name: a.astype(mx.float32) if a.dtype in floats else a for name, a in weights.items()}
    model = runtime.build({**contents.config, "quantization": None, "quantization_config": None})
    model.load_weights(list(filled.items()), strict=True)
    model.eval()
    return model
