"""Floor 1, formats. ggml's tensor types, as GGUF files hold them: plain numbers, or blocks along a row.

Source of the layouts: fact sheet ds4_gguf.md 6.5. Pure; the encoder is `formats.ggml_encode`, the block types of the
stock quantizer are in `formats.ggml_library`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dsv4recipe.formats.base import BLOCKS, Part, SourceTensor
from dsv4recipe.formats.keep.spec import EXACT

TYPE_IDS = {
    "F32": 0, "F16": 1, "Q8_0": 8, "Q2_K": 10, "Q4_K": 12, "IQ2_XXS": 16, "I32": 26, "BF16": 30, "MXFP4": 39,
}  # fmt: skip
"""ggml type → its number in a GGUF header."""

WEIGHTED = ("Q2_K", "Q4_K", "IQ2_XXS")
"""The types whose search weighs columns by importance."""

IMPORTANCE = ("none", "ones", "energy", "file", "record")
"""none: ggml's unweighted search, another and worse algorithm. ones: the weighted search, all columns alike. energy: by
the sum of squares of the column's weights in this matrix (of this expert). file: by an importance file. record: by the
inputs in an activation record."""

UNKNOWN = "unknown"
"""The importance of a type that was read from a header: no file tells it."""


@dataclass(frozen=True, slots=True)
class Ggml:
    """One tensor of ggml type `type`, found with `importance`."""

    type: str
    importance: str = "none"

    @property
    def kind(self) -> str:
        return "ggml"

    @property
    def whole(self) -> bool:
        """Whether the encoder must see a matrix whole: the importance of a column is a sum over all rows."""
        return self.importance == "energy"

    def parts(self, source: SourceTensor) -> tuple[Part, ...]:
        """One part in the logical shape; its dtype is the ggml type."""
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

    def quantization(self) -> dict[str, Any] | None:
        return None

    def spec(self) -> dict[str, Any]:
        return {"ggml": {"type": self.type, "importance": self.importance}}
