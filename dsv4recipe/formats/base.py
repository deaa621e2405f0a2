"""Floor 1, formats. What every number format answers without touching a weight: parts, bytes, legality.

Pure: no numpy, no numba, no mlx. The encoders of each format are in `dsv4recipe.formats.encode`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, Literal, Protocol, runtime_checkable

Stored = Literal["fp4", "fp8", "bf16", "f16", "f32", "int"]
"""How a source tensor is stored. fp4: I8 pairs + F8_E8M0 per 32 columns. fp8: F8_E4M3 + F8_E8M0 per tile.
bf16, f16, f32, int (any integer dtype): plain. Source: fact sheet checkpoint.md section 3."""

HALF_DTYPES = {"bfloat16": "BF16", "float16": "F16"}
"""Names of the half types in recipes → safetensors dtypes."""

FLOAT_DTYPES = HALF_DTYPES | {"float32": "F32"}

ITEM_SIZE = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
    "I32": 4, "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8,
}  # fmt: skip
"""Bytes per element of each safetensors dtype."""

BLOCKS = {"Q8_0": (32, 34), "MXFP4": (32, 17), "Q2_K": (256, 84), "Q4_K": (256, 144), "IQ2_XXS": (256, 66)}
"""Weights and bytes per block of each ggml type that has blocks, along a row (fact sheet ds4_gguf.md 6.5)."""


def stored_bytes(dtype: str, shape: tuple[int, ...]) -> int:
    """Bytes of a tensor of a safetensors dtype or a ggml block type."""
    weights, size = BLOCKS.get(dtype) or (1, ITEM_SIZE[dtype])
    return prod(shape) // weights * size


@dataclass(frozen=True, slots=True)
class Part:
    """One tensor that is stored: `<stem><suffix>` with its dtype (of safetensors, or a ggml block type) and logical
    shape. A part with `fill` holds that number in every element and is made of no source."""

    suffix: str
    dtype: str
    shape: tuple[int, ...]
    fill: int | None = None

    @property
    def nbytes(self) -> int:
        return stored_bytes(self.dtype, self.shape)


@dataclass(frozen=True, slots=True)
class SourceTensor:
    """What a format needs to know of a source tensor: how it is stored, its logical shape, its plain dtype.

    `shape` is logical: [out, in] elements, not packed bytes. `dtype` is the safetensors dtype as stored.
    `tile` is the FP8 scale tile (rows, columns), () for everything else.
    """

    stored: Stored
    shape: tuple[int, ...]
    dtype: str
    tile: tuple[int, ...] = ()


@runtime_checkable
class Format(Protocol):
    """A number format with its parameters. Frozen, hashable; one file each in this room."""

    @property
    def kind(self) -> str:
        """The word a recipe uses: "affine", "mxfp4", "mxfp8", "mxtq", "ggml", "keep"."""
        ...

    def parts(self, source: SourceTensor) -> tuple[Part, ...]:
        """The tensors stored for ONE source tensor, in the order the encoder returns them."""
        ...

    def problem(self, source: SourceTensor) -> str:
        """Why this source tensor cannot take this format ("" if it can)."""
        ...

    def lossless(self, source: SourceTensor) -> bool:
        """Whether every element decodes to exactly the source value, whatever the data."""
        ...

    def quantization(self) -> dict[str, Any] | None:
        """MLX's description of a module in this format, {bits, group_size, mode}; None if MLX has none."""
        ...

    def spec(self) -> dict[str, Any]:
        """The format as a recipe writes it, every parameter spelled out: {"affine": {"bits": 4, …}}."""
        ...


def wants_importance(fmt: Format) -> bool:
    """Whether the encoder of `fmt` weighs errors by column, by an importance file or by an activation record. Formats
    without the parameter never do."""
    return getattr(fmt, "importance", "none") in ("file", "record")


def wants_moments(fmt: Format) -> bool:
    """Whether the encoder of `fmt` needs to know the inputs of the matrix, from an activation record."""
    return getattr(fmt, "fit", "") == "gptq"


def wants_record(fmt: Format) -> bool:
    """Whether anything about `fmt` comes from an activation record."""
    return wants_moments(fmt) or getattr(fmt, "importance", "none") == "record"


def divides(source: SourceTensor, group: int, what: str) -> str:
    """The usual legality of a grouped format: a matrix whose rows hold whole groups."""
    if len(source.shape) != 2:
        return f"{what} needs a matrix, the tensor has shape {list(source.shape)}"
    if source.stored == "int":
        return f"{what} cannot hold integers"
    if source.shape[1] % group:
        return f"group size {group} does not divide the input width {source.shape[1]}"
    return ""
