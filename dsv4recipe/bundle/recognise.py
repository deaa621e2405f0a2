"""Floor 3, bundle. The number format of a stored module, from dtypes and shapes alone, never from what a file claims.

Pure. Source of the layouts: fact sheets mlx.md 1.3 and vmlx.md 2 and 3.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from dsv4recipe.formats import Affine, Format, Ggml, Keep, Mxfp4, Mxfp8, Mxtq, Part, SourceTensor
from dsv4recipe.formats.affine.spec import BITS, GROUP_SIZES
from dsv4recipe.formats.base import FLOAT_DTYPES
from dsv4recipe.formats.ggml.spec import TYPE_IDS, UNKNOWN, WEIGHTED
from dsv4recipe.headers.safetensors import TensorEntry

_FLOATS = {dtype: name for name, dtype in FLOAT_DTYPES.items()}
_MX: Mapping[int, Format] = {4: Mxfp4(), 8: Mxfp8()}
_MXTQ = {".tq_packed", ".tq_norms"}


@dataclass(frozen=True, slots=True)
class Unrecognised:
    """Tensors that no format of this version describes. Stands in for a format: nothing can be built of it."""

    reason: str

    @property
    def kind(self) -> str:
        return f"unrecognised ({self.reason})"

    def parts(self, source: SourceTensor) -> tuple[Part, ...]:  # noqa: ARG002 - the signature of a format
        return ()

    def problem(self, source: SourceTensor) -> str:  # noqa: ARG002
        return self.reason

    def lossless(self, source: SourceTensor) -> bool:  # noqa: ARG002
        return False

    def quantization(self) -> dict[str, Any] | None:
        return None

    def spec(self) -> dict[str, Any]:
        return {"unrecognised": self.reason}


def recognise(parts: Mapping[str, TensorEntry], shape: tuple[int, ...], stack: int, seed: int) -> Format:
    """The format of the tensors of one stem, by suffix. `shape` is the logical shape of one member, `stack` the number
    of members in the stem (1 where it is no stack). `seed` is what MXTQ's signs were drawn from: no header shows it."""
    stored = ", ".join(f"{suffix or 'tensor'} {entry.dtype} {list(entry.shape)}" for suffix, entry in parts.items())
    rows, columns = stack * prod(shape[:-1]), shape[-1]
    suffixes = set(parts)
    if not all(entry.shape for entry in parts.values()):
        return Unrecognised(stored)
    if len(parts) == 1:
        (suffix, entry), *_ = parts.items()
        if suffix in ("", ".weight") and prod(entry.shape) == rows * columns and entry.shape[-1] == columns:
            return Keep(entry.dtype)
    if suffixes in ({".weight", ".scales"}, {".weight", ".scales", ".biases"}) and len(shape) == 2:
        return _grouped(parts, rows, columns) or Unrecognised(stored)
    if suffixes - {".tq_bits"} == _MXTQ:
        packed, norms = parts[".tq_packed"], parts[".tq_norms"]
        bits, rest = divmod(packed.shape[-1] * 32, columns)
        if packed.dtype == "U32" and norms.dtype == "F16" and not rest and prod(packed.shape[:-1]) == rows:
            return Mxtq(bits, seed) if prod(norms.shape) == rows and bits in (2, 4) else Unrecognised(stored)
    return Unrecognised(stored)


def recognise_ggml(parts: Mapping[str, TensorEntry], group: tuple[int, ...]) -> Format:
    """The format of a tensor of a GGUF, whose logical shape must be `group`. No header tells the importance."""
    (entry, *more) = parts.values()
    if more or entry.dtype not in TYPE_IDS or entry.shape != group:
        return Unrecognised(", ".join(f"{each.dtype} {list(each.shape)}" for each in parts.values()))
    return Ggml(entry.dtype, UNKNOWN if entry.dtype in WEIGHTED else "none")


def _grouped(parts: Mapping[str, TensorEntry], rows: int, columns: int) -> Format | None:
    weight, scales, biases = parts[".weight"], parts[".scales"], parts.get(".biases")
    bits, rest = divmod(weight.shape[-1] * 32, columns)
    groups = scales.shape[-1]
    if weight.dtype != "U32" or rest or not groups or columns % groups:
        return None
    if not prod(weight.shape[:-1]) == prod(scales.shape[:-1]) == rows:
        return None
    size = columns // groups
    if biases is None:
        return _MX.get(bits) if scales.dtype == "U8" and size == 32 else None
    if (biases.dtype, biases.shape) != (scales.dtype, scales.shape) or scales.dtype not in _FLOATS:
        return None
    return Affine(bits, size, _FLOATS[scales.dtype]) if bits in BITS and size in GROUP_SIZES else None
