"""Floor 1, formats. MXTQ (TurboQuant weights): sign flips, Hadamard rotation, one norm per row, a codebook.

Source of layout and codec: fact sheet vmlx.md section 2. Pure; the encoder is in `formats.encode`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dsv4recipe.formats.base import Part, SourceTensor, divides

BITS = (2, 4)
FITS = ("nearest", "gptq")


@dataclass(frozen=True, slots=True)
class Mxtq:
    """`bits` per rotated weight (2 or 4), a float16 norm per row, signs drawn from `seed`.

    `fit` is "nearest", each weight's nearest level, as jang's encoder takes it; or "gptq", the least error of the
    outputs for the inputs of an activation record, rounding errors fed back.
    """

    bits: int
    seed: int = 42
    fit: str = "nearest"

    @property
    def kind(self) -> str:
        return "mxtq"

    def parts(self, source: SourceTensor) -> tuple[Part, ...]:
        """tq_packed U32 [out, in·bits/32], tq_norms F16 [out]. The width tensor `tq_bits` is the target's."""
        rows, columns = source.shape
        return (Part(".tq_packed", "U32", (rows, columns * self.bits // 32)), Part(".tq_norms", "F16", (rows,)))

    def problem(self, source: SourceTensor) -> str:
        if self.fit not in FITS:
            return f"mxtq has no fit {self.fit!r}, only {', '.join(FITS)}"
        return divides(source, 32 if self.fit == "gptq" else 32 // self.bits, "mxtq")

    def lossless(self, source: SourceTensor) -> bool:  # noqa: ARG002 - a rotation is never exact
        return False

    def quantization(self) -> dict[str, Any] | None:
        return None

    def spec(self) -> dict[str, Any]:
        spec = {"bits": self.bits, "seed": self.seed}
        return {"mxtq": spec if self.fit == "nearest" else spec | {"fit": self.fit}}
