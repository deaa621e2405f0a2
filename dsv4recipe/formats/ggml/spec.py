"""Floor 1, formats. ggml's tensor types, as GGUF files hold them: plain numbers, or blocks along a row.

Layouts: docs/reference/formats.md, "ggml types". Pure; `library` has the block types of the stock quantizer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from dsv4recipe.formats.base import BLOCKS, Format, Part, SourceTensor, Stem, wants_importance
from dsv4recipe.formats.ggml.schema import SCHEMA
from dsv4recipe.formats.keep.spec import CASTS, EXACT

PACKAGE = "libggml-python"
"""The package of the stock quantizer."""

TYPE_IDS = {
    "F32": 0, "F16": 1, "Q8_0": 8, "Q2_K": 10, "Q4_K": 12, "IQ2_XXS": 16, "I32": 26, "BF16": 30, "MXFP4": 39,
}  # fmt: skip
"""ggml type → its number in a GGUF header."""

WEIGHTED = ("Q2_K", "Q4_K", "IQ2_XXS")
"""The types whose search weighs columns by importance."""

QUANTIZED = ("Q8_0", *WEIGHTED)
"""The types that the stock quantizer makes."""

MEASURED = {
    "Q8_0": (0.0038, 0.0068), "Q4_K": (0.0536, 0.0846), "Q2_K": (0.2185, 0.3539), "IQ2_XXS": (0.3334, 0.4274),
}  # fmt: skip
"""Type → least and greatest relative RMSE, whatever the importance (`python benchmarks/bands.py`)."""

IMPORTANCE = ("none", "ones", "energy", "file", "record")
"""none: ggml's unweighted search, another and worse algorithm. ones: the weighted search, all columns alike. energy: by
the sum of squares of the column's weights in this matrix (of this expert). file: by an importance file. record: by the
inputs in an activation record."""

UNKNOWN = "unknown"
"""The importance of a type that was read from a header: no file tells it."""


@dataclass(frozen=True, slots=True)
class Ggml(Format):
    """One tensor of ggml type `type`, found with `importance`."""

    KIND: ClassVar[str] = "ggml"
    SCHEMA: ClassVar[Mapping[str, Any]] = SCHEMA

    type: str
    importance: str = "none"

    @classmethod
    def from_spec(cls, value: Any) -> Ggml:
        if set(value) != {"type", "importance"} or value["type"] not in TYPE_IDS:
            raise ValueError("this is not a ggml type")
        return cls(value["type"], str(value["importance"]))

    @classmethod
    def from_recipe(cls, given: Mapping[str, Any], half: str) -> Ggml:  # noqa: ARG003
        return cls(given["type"], given.get("importance", "none"))

    @classmethod
    def recognise(cls, stem: Stem) -> Ggml | None:
        """Returns one tensor of a GGUF file, in the logical shape of the whole module. No header tells the
        importance."""
        (part, *more) = stem.parts.values()
        if not stem.gguf or more or part.dtype not in TYPE_IDS or part.shape != stem.shape:
            return None
        return cls(part.dtype, UNKNOWN if part.dtype in WEIGHTED else "none")

    @property
    def whole(self) -> bool:
        """Whether the encoder must see a matrix whole: the importance of a column is a sum over all rows."""
        return self.importance == "energy"

    def parts(self, source: SourceTensor) -> tuple[Part, ...]:
        """Returns one part in the logical shape; its dtype is the ggml type."""
        return (Part("", self.type, source.shape),)

    def problem(self, source: SourceTensor) -> str:
        if (source.stored == "int") != (self.type == "I32"):
            return f"{self.type} cannot hold {'integers' if source.stored == 'int' else f'{source.stored} weights'}"
        if self.type == "MXFP4" and source.stored != "fp4":
            return f"MXFP4 is a copy of FP4 source bits, the tensor is stored as {source.stored}"
        if self.type in BLOCKS:
            if len(source.shape) != 2:
                return f"{self.type} needs a matrix, the tensor has shape {list(source.shape)}"
            weights = BLOCKS[self.type][0]
            if source.shape[1] % weights:
                return f"{self.type} has blocks of {weights} weights, which do not fill a row of {source.shape[1]}"
        if self.type not in WEIGHTED and self.importance != "none":
            return f"{self.type} takes no importance, the rule says {self.importance}"
        if self.type == "IQ2_XXS" and self.importance == "none":
            return "IQ2_XXS cannot be found without an importance"
        return ""

    def lossless(self, source: SourceTensor) -> bool:
        if source.stored == "int":
            return self.type == "I32"
        return source.stored in EXACT.get(self.type, set()) or (self.type == "MXFP4" and source.stored == "fp4")

    def spec(self) -> dict[str, Any]:
        return {"ggml": {"type": self.type, "importance": self.importance}}

    def spelled(self, half: str) -> dict[str, Any]:  # noqa: ARG002
        return self.spec() if self.type in WEIGHTED else {"ggml": {"type": self.type}}

    @property
    def label(self) -> str:
        return self.type if self.importance in ("none", UNKNOWN) else f"{self.type} {self.importance}"

    @property
    def searched(self) -> bool:
        return self.type in WEIGHTED

    @property
    def library(self) -> str:
        return PACKAGE if self.type in QUANTIZED else ""

    def as_seen(self) -> Ggml:
        return replace(self, importance=UNKNOWN)

    def assumed(self) -> Ggml:
        """Returns the least that the type takes where headers do not tell the importance."""
        if self.importance != UNKNOWN:
            return self
        return replace(self, importance="energy" if self.type == "IQ2_XXS" else "none")

    def unguided(self) -> Ggml:
        return replace(self, importance="ones") if wants_importance(self) else self

    def error_band(self) -> tuple[float, float] | None:
        if wants_importance(self):
            return None
        found = MEASURED.get(self.type)
        return CASTS.get(self.type) if found is None else (found[0] * 0.5, found[1] * 1.5)

    def error_limit(self) -> float:
        """Q8_0 in the same way as affine, with half a step of max/127; 0.95 for types that are searched for."""
        if self.type in BLOCKS or wants_importance(self):
            return 1.5 * math.sqrt(32) / 254 if self.type == "Q8_0" else 0.95
        return 2.0**-5
