"""Floor 2, runtimes (child side). MXTQ gather matmul from plain MLX operations, for machines without Metal.

Stands in for the one function of jang's MXTQ path that exists only as a Metal kernel. What it proves is names, layout,
routing, bit order, seeds and codebooks; it says nothing about Apple's kernel. Formula: docs/reference/runtimes.md,
"MXTQ tensors", y = norm · Σ x_rot[i] · codebook[index_i], where x_rot = H(x · signs) per power-of-two block.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx

REPLACED = "jang_tools.turboquant.tq_kernel._gather_tq_matmul"


def install() -> str:
    """Put the stand-in in the runtime's place and return the name of what it replaces."""
    from jang_tools.turboquant import tq_kernel

    tq_kernel._gather_tq_matmul = gather_tq_matmul
    return REPLACED


def rotate(x: mx.array, signs: mx.array) -> mx.array:
    """x float32 [..., in] times signs [in], then an orthonormal Hadamard transform per power-of-two block."""
    x, parts, start = x * signs, [], 0
    while start < x.shape[-1]:
        size = 1 << ((x.shape[-1] - start).bit_length() - 1)
        parts.append(mx.hadamard_transform(x[..., start : start + size], scale=size**-0.5))
        start += size
    return parts[0] if len(parts) == 1 else mx.concatenate(parts, axis=-1)


def gather_tq_matmul(
    x: mx.array,
    packed: mx.array,
    norms: mx.array,
    codebook: mx.array,
    signs: mx.array,
    rhs_indices: mx.array,
    bits: int = 2,
    **_: Any,  # scheduling hints of the kernel
) -> mx.array:
    """Broadcasting product of x [..., 1, in] with expert rhs_indices of packed U32 [E, out, in·bits/32].

    norms F16 [E, out]; codebook F32 [2**bits]; signs F32 [in]. Computed in float32, returned in the dtype of x.
    Evaluates nothing: the runtime calls it inside compiled regions.
    """
    experts = rhs_indices.astype(mx.uint32)
    if experts.size < packed.shape[0]:  # fewer routes than experts: decode one expert per route
        routes = experts.flatten()
        packed, norms = packed[routes], norms[routes]
        experts = mx.arange(experts.size, dtype=mx.uint32).reshape(experts.shape)
    shifts = mx.arange(0, 32, bits, dtype=mx.uint32)
    codes = (packed[..., None] >> shifts) & ((1 << bits) - 1)
    codes = codes.reshape(*codes.shape[:-2], -1)[..., : signs.shape[0]]
    weights = codebook[codes] * norms[..., None].astype(mx.float32)
    y = mx.gather_mm(rotate(x.astype(mx.float32), signs), weights.swapaxes(-1, -2), rhs_indices=experts)
    return y.astype(x.dtype)
