"""Floor 1, formats. Defines what every number format answers without reading a weight: parts, bytes, legality.

This module is pure: no numpy, no numba, no mlx.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar, Literal

Stored = Literal["fp4", "fp8", "bf16", "f16", "f32", "int"]
"""How a source tensor is stored. fp4: I8 pairs + F8_E8M0 per 32 columns. fp8: F8_E4M3 + F8_E8M0 per tile.
bf16, f16, f32, int (any integer dtype): plain. See docs/reference/checkpoint.md, "How tensors are stored"."""

HALF_DTYPES = {"bfloat16": "BF16", "float16": "F16"}
"""Names of the half types in recipes → safetensors dtypes."""

FLOAT_DTYPES = HALF_DTYPES | {"float32": "F32"}

ITEM_SIZE = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
    "I32": 4, "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8,
}  # fmt: skip
"""Bytes per element of each safetensors dtype."""

BLOCKS = {"Q8_0": (32, 34), "MXFP4": (32, 17), "Q2_K": (256, 84), "Q4_K": (256, 144), "IQ2_XXS": (256, 66)}
"""Weights and bytes per block of each ggml type that has blocks, along a row. See docs/reference/formats.md."""


def stored_bytes(dtype: str, shape: tuple[int, ...]) -> int:
    """Returns bytes of a tensor of a safetensors dtype or a ggml block type."""
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
    `tile` is the FP8 scale tile (rows, columns), () for everything else. `scales` is the dtype of the scales where they
    are not E8M0 bytes: F32 or BF16, each of which must hold a power of two.
    """

    stored: Stored
    shape: tuple[int, ...]
    dtype: str
    tile: tuple[int, ...] = ()
    scales: str = ""


@dataclass(frozen=True, slots=True)
class Stem:
    """The tensors stored under one name, as headers show them: what `Format.recognise` decides by.

    `parts` have the shapes that are stored, `shape` is the logical shape of one member, `stack` the number of members
    (1 where the name is no stack), `gguf` whether they lie in a GGUF file. `seed` is what MXTQ's signs were drawn from,
    which no header shows.
    """

    parts: Mapping[str, Part]
    shape: tuple[int, ...]
    stack: int = 1
    gguf: bool = False
    seed: int = 0

    @property
    def matrix(self) -> tuple[int, int]:
        """Returns (rows of all members together, columns)."""
        return self.stack * prod(self.shape[:-1]), self.shape[-1]


class Format(ABC):
    """A number format with its parameters: frozen, hashable, one folder each in this room.

    A subclass says how a format is spelled, what it stores and what may be stored in it, without touching a weight. The
    module `codec` beside it has the encoder and the decoder (see `formats.codec`). `formats.registry` lists them all.
    """

    __slots__ = ()
    KIND: ClassVar[str] = ""
    """The word that a recipe uses: "affine", "mxfp4", "mxfp8", "mxtq", "ggml", "keep"."""
    SCHEMA: ClassVar[Mapping[str, Any] | None] = None
    """JSON schema (draft-07) of the parameters under `format: {KIND: …}`; None if `format` does not take this kind."""

    @classmethod
    @abstractmethod
    def from_spec(cls, value: Any) -> Format:
        """Returns the format of what `spec()` holds under its kind. Raises ValueError, KeyError or TypeError
        otherwise."""

    @classmethod
    def from_recipe(cls, given: Mapping[str, Any], half: str) -> Format:  # noqa: ARG003 - what subclasses take
        """Returns the format of checked parameters of a recipe; `half` is the target's half type, for defaults."""
        return cls.from_spec(dict(given))

    @classmethod
    def recognise(cls, stem: Stem) -> Format | None:  # noqa: ARG003
        """Returns the format of stored tensors if they are in this one, else None."""
        return None

    @classmethod
    def candidates(cls, given: Any, half: str) -> Iterable[Format]:
        """Returns the formats that the priors of `allocate` describe under this kind."""
        raise ValueError(f"{cls.KIND} has no candidates for {half}: {given!r}")

    @classmethod
    def as_stored(cls) -> Iterable[Format]:
        """Returns the formats of this kind that keep the very values of some sources, whatever the weights are."""
        return ()

    @property
    def kind(self) -> str:
        return self.KIND

    @abstractmethod
    def parts(self, source: SourceTensor) -> tuple[Part, ...]:
        """Returns the tensors stored for ONE source tensor, in the order in which the encoder returns them."""

    @abstractmethod
    def problem(self, source: SourceTensor) -> str:
        """Returns why this source tensor cannot take this format ("" if it can)."""

    @abstractmethod
    def lossless(self, source: SourceTensor) -> bool:
        """Returns whether every element decodes to exactly the source value, whatever the data."""

    @abstractmethod
    def spec(self) -> dict[str, Any]:
        """Returns the format as a recipe writes it, every parameter spelled out: {"affine": {"bits": 4, …}}."""

    def spelled(self, half: str) -> dict[str, Any]:  # noqa: ARG002
        """Returns `spec()` without parameters that a reader of the recipe does not need, for a target of this half
        type."""
        return self.spec()

    def as_action(self, as_source: str) -> Format | str:  # noqa: ARG002
        """What a rule of a recipe does to get this format: the format itself, or a word of `keep`."""
        return self

    def quantization(self) -> dict[str, Any] | None:
        """Returns MLX's description of a module in this format, {bits, group_size, mode}; None if MLX has none."""
        return None

    @property
    def label(self) -> str:
        """Returns the format as people say it: "affine 4-bit g32", "mxtq 2-bit", "F32"."""
        return self.kind

    @property
    def error_key(self) -> str:
        """Returns the format in a table of errors: everything that changes the error."""
        return self.label

    @property
    def nominal_bits(self) -> int:
        """Returns bits of a code, which a floor of `allocate` is compared with; 16 or 32 for a plain copy."""
        return 0

    @property
    def plain_dtype(self) -> str:
        """Returns the dtype of a plain copy or cast; "" for every other format."""
        return ""

    @property
    def scales_type(self) -> str:
        """Returns the float type, as recipes call it, that a rule chose for scales; "" where there is no choice."""
        return ""

    @property
    def bundle_seed(self) -> int | None:
        """Returns a seed that all modules of a bundle must share, because a bundle announces one."""
        return None

    @property
    def whole(self) -> bool:
        """Whether the encoder must see a matrix whole. All others work row by row."""
        return False

    @property
    def rounding_group(self) -> int:
        """Returns how many columns share a scale, so that a calibrated fit rounds them together; 1 if none do."""
        return 1

    @property
    def rotation(self) -> str:
        """Returns a name of what turns rows before they are rounded; "" where nothing does. Formats of one name share
        the moments of their inputs."""
        return ""

    @property
    def searched(self) -> bool:
        """Returns whether encoding searches, and takes so long that a build estimates it and a proof repeats some rows
        only."""
        return False

    @property
    def copies_bits(self) -> bool:
        """Returns whether what is stored are the very codes of the source."""
        return False

    @property
    def compared(self) -> bool:
        """Returns whether the codec's `gaps` tells that encoding again gives the same bytes, so that nobody needs to
        encode."""
        return False

    @property
    def library(self) -> str:
        """Returns the package whose encoder decides the bytes; "" for our own encoders."""
        return ""

    def as_seen(self) -> Format:
        """Returns the format as far as headers show it: two that differ in the encoder's choices alone become equal."""
        return self

    def assumed(self) -> Format:
        """Returns the format that a recipe is given where headers left a parameter open."""
        return self

    def unguided(self) -> Format:
        """Returns a format that takes as long to encode and needs no importance file."""
        return self

    def fill(self, suffix: str) -> int | None:  # noqa: ARG002
        """Returns the number that every element of a stored part holds, where the format and not the source decides
        it."""
        return None

    def error_band(self) -> tuple[float, float] | None:
        """Returns the relative RMSE to expect of a lossy format, low and high; None where nothing was measured."""
        return None

    def error_limit(self) -> float:
        """Returns the relative RMSE that no right encoding reaches. Numbers of another tensor of that size are off by
        √2."""
        return 0.95


def wants_importance(fmt: Format) -> bool:
    """Returns whether the encoder of `fmt` weighs errors by column, by an importance file or by an activation record.
    Formats without the parameter never do."""
    return getattr(fmt, "importance", "none") in ("file", "record")


def wants_moments(fmt: Format) -> bool:
    """Returns whether the encoder of `fmt` needs to know the inputs of the matrix, from an activation record."""
    return getattr(fmt, "fit", "") == "gptq"


def wants_record(fmt: Format) -> bool:
    """Returns whether anything about `fmt` comes from an activation record."""
    return wants_moments(fmt) or getattr(fmt, "importance", "none") == "record"


def divides(source: SourceTensor, group: int, what: str) -> str:
    """Returns the usual legality of a grouped format: a matrix whose rows hold whole groups."""
    if len(source.shape) != 2:
        return f"{what} needs a matrix, the tensor has shape {list(source.shape)}"
    if source.stored == "int":
        return f"{what} cannot hold integers"
    if source.shape[1] % group:
        return f"group size {group} does not divide the input width {source.shape[1]}"
    return ""


def grouped(stem: Stem, suffixes: tuple[str, ...]) -> tuple[int, int] | None:
    """Returns (bits, group size) of a stem that holds just these suffixes: U32 codes in ".weight" and a value per group
    of columns in ".scales"; None where dtypes and shapes do not say so."""
    if set(stem.parts) != set(suffixes) or len(stem.shape) != 2 or not all(part.shape for part in stem.parts.values()):
        return None
    weight, scales = stem.parts[".weight"], stem.parts[".scales"]
    rows, columns = stem.matrix
    bits, rest = divmod(weight.shape[-1] * 32, columns)
    groups = scales.shape[-1]
    if weight.dtype != "U32" or rest or not groups or columns % groups:
        return None
    return (bits, columns // groups) if prod(weight.shape[:-1]) == prod(scales.shape[:-1]) == rows else None
