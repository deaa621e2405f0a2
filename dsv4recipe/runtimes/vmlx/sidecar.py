"""Floor 2, runtimes. The sidecar of MXTQ bundles: sign vectors and codebooks as one small safetensors file. This module
is pure.

Source: docs/reference/runtimes.md, "JANG companions". The Swift runtime reads its constants from here; the Python
loader computes them.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

from dsv4recipe.formats import Format, Mxtq, SourceTensor
from dsv4recipe.headers.safetensors import header_bytes

NAME = "jangtq_runtime.safetensors"

Use = tuple[int, int, int]
"""(input width, bits, seed) of an MXTQ matrix."""

Entry = tuple[str, str, tuple[int, ...]]
"""(name, safetensors dtype, shape)."""


def uses(modules: Iterable[tuple[SourceTensor, Format]]) -> frozenset[Use]:
    """Returns what the MXTQ matrices among the modules ask of the sidecar, those of MTP stages included."""
    return frozenset((source.shape[-1], fmt.bits, fmt.seed) for source, fmt in modules if isinstance(fmt, Mxtq))


def entries(asked: Iterable[Use]) -> tuple[Entry, ...]:
    """Returns the tensors of the sidecar, sorted by name: codebook.{in}.{bits} F32 [2^bits], signs.{in}.{seed} F32
    [in]."""
    found: set[Entry] = set()
    for width, bits, seed in asked:
        found |= {(f"codebook.{width}.{bits}", "F32", (1 << bits,)), (f"signs.{width}.{seed}", "F32", (width,))}
    return tuple(sorted(found))


def payload_bytes(asked: Iterable[Use]) -> int:
    """Returns bytes of the sidecar's tensors: 24,608 for 2-bit experts of V4-Flash."""
    return sum(4 * prod(shape) for _, _, shape in entries(asked))


def values(entry: Entry) -> bytes:
    """Returns the little-endian float32 bytes of one tensor of the sidecar."""
    from dsv4recipe.formats.mxtq.codebooks import codebook, signs

    kind, width, parameter = entry[0].split(".")
    make = {"codebook": codebook, "signs": signs}[kind]
    return make(int(width), int(parameter)).astype("<f4").tobytes()


def content(asked: Iterable[Use]) -> bytes:
    """Returns the file: header without metadata, then the tensors in the order of `entries`."""
    listed = entries(asked)
    return header_bytes(listed) + b"".join(map(values, listed))
