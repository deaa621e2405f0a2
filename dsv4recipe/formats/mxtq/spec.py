"""Floor 1, formats. MXTQ (TurboQuant weights): sign flips, Hadamard rotation, one norm per row, a codebook. This module
is pure.

Layout and codec: docs/reference/formats.md, "mxtq".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any, ClassVar

from dsv4recipe.formats.base import Format, Part, SourceTensor, Stem, divides
from dsv4recipe.formats.mxtq.schema import SCHEMA

BITS = (2, 4)
FITS = ("nearest", "gptq")
MEASURED = {2: (0.3423, 0.3433), 4: (0.1004, 0.1007)}
"""Bits → least and greatest relative RMSE (`python benchmarks/bands.py`): rotated, all weights look alike."""
_LIMIT = {2: 0.8, 4: 0.4}  # twice and four times what any weights give


@dataclass(frozen=True, slots=True)
class Mxtq(Format):
    """`bits` per rotated weight (2 or 4), a float16 norm per row, signs drawn from `seed`.

    `fit` is "nearest", each weight's nearest level, as jang's encoder takes it; or "gptq", the least error of the
    outputs for the inputs of an activation record, rounding errors fed back.
    """

    KIND: ClassVar[str] = "mxtq"
    SCHEMA: ClassVar[Mapping[str, Any]] = SCHEMA

    bits: int
    seed: int = 42
    fit: str = "nearest"

    @classmethod
    def from_spec(cls, value: Any) -> Mxtq:
        bits, seed, fit = value["bits"], value["seed"], value.get("fit", "nearest")
        if set(value) - {"bits", "seed", "fit"} or not (isinstance(bits, int) and isinstance(seed, int)):
            raise ValueError("these are not the parameters of mxtq")
        return cls(bits, seed, str(fit))

    @classmethod
    def from_recipe(cls, given: Mapping[str, Any], half: str) -> Mxtq:  # noqa: ARG003
        return cls(given["bits"], given.get("seed", 42), given.get("fit", "nearest"))

    @classmethod
    def recognise(cls, stem: Stem) -> Mxtq | None:
        if set(stem.parts) - {".tq_bits"} != {".tq_packed", ".tq_norms"} or not all(
            p.shape for p in stem.parts.values()
        ):
            return None
        packed, norms = stem.parts[".tq_packed"], stem.parts[".tq_norms"]
        rows, columns = stem.matrix
        bits, rest = divmod(packed.shape[-1] * 32, columns)
        fits = packed.dtype == "U32" and norms.dtype == "F16" and not rest and prod(packed.shape[:-1]) == rows
        return cls(bits, stem.seed) if fits and prod(norms.shape) == rows and bits in BITS else None

    @classmethod
    def candidates(cls, given: Any, half: str) -> Iterable[Mxtq]:  # noqa: ARG003
        return (cls(bits) for bits in given["bits"])

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

    def spec(self) -> dict[str, Any]:
        spec = {"bits": self.bits, "seed": self.seed}
        return {"mxtq": spec if self.fit == "nearest" else spec | {"fit": self.fit}}

    @property
    def label(self) -> str:
        return f"mxtq {self.bits}-bit" + ("" if self.fit == "nearest" else f" {self.fit}")

    @property
    def nominal_bits(self) -> int:
        return self.bits

    @property
    def rotation(self) -> str:
        return f"mxtq {self.seed}"

    @property
    def bundle_seed(self) -> int:
        return self.seed

    @property
    def compared(self) -> bool:
        return self.fit == "nearest"

    def as_seen(self) -> Mxtq:
        return replace(self, fit="nearest")

    def fill(self, suffix: str) -> int | None:
        return self.bits if suffix == ".tq_bits" else None

    def error_band(self) -> tuple[float, float] | None:
        found = MEASURED.get(self.bits) if self.fit == "nearest" else None
        return None if found is None else (found[0] * 0.5, found[1] * 1.5)

    def error_limit(self) -> float:
        return _LIMIT.get(self.bits, 0.95) if self.fit == "nearest" else 0.95
