"""Floor 1, formats. What mxfp4 and mxfp8 (OCP microscaling) have in common: an exact copy of the codes of one kind of
source, with one power-of-two scale per 32 columns. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self

from dsv4recipe.formats.base import Format, Part, SourceTensor, Stem, divides, grouped

GROUP = 32
"""Columns that share a scale."""


class Microscaled(Format):
    """A format without parameters. `BITS` per code; `STORED` is what a source must be stored as."""

    __slots__ = ()
    BITS: ClassVar[int]
    STORED: ClassVar[str]

    @classmethod
    def from_spec(cls, value: Any) -> Self:
        if value != {}:
            raise ValueError(f"{cls.KIND} has no parameters")
        return cls()

    @classmethod
    def recognise(cls, stem: Stem) -> Self | None:
        """Returns the format of U32 codes of its bits with U8 scales for each 32 columns."""
        alike = grouped(stem, (".weight", ".scales")) == (cls.BITS, GROUP) and stem.parts[".scales"].dtype == "U8"
        return cls() if alike else None

    @classmethod
    def candidates(cls, given: Any, half: str) -> Iterable[Self]:  # noqa: ARG003
        return (cls(),)

    @classmethod
    def as_stored(cls) -> Iterable[Self]:
        return (cls(),)

    def parts(self, source: SourceTensor) -> tuple[Part, ...]:
        """weight U32 [out, in · BITS / 32], scales U8 [out, in / 32], no biases."""
        rows, columns = source.shape
        words = Part(".weight", "U32", (rows, columns * self.BITS // 32))
        return words, Part(".scales", "U8", (rows, columns // GROUP))

    def problem(self, source: SourceTensor) -> str:
        if source.stored != self.STORED:
            stored = self.STORED.upper()
            return f"{self.kind} is a copy of {stored} source bits, the tensor is stored as {source.stored}"
        return divides(source, GROUP, self.kind)

    def lossless(self, source: SourceTensor) -> bool:
        return source.stored == self.STORED

    def quantization(self) -> dict[str, Any] | None:
        return {"bits": self.BITS, "group_size": GROUP, "mode": self.kind}

    def spec(self) -> dict[str, Any]:
        return {self.kind: {}}

    @property
    def nominal_bits(self) -> int:
        return self.BITS

    @property
    def copies_bits(self) -> bool:
        return True

    def error_limit(self) -> float:
        return 2.0**-5


def schema_of(stored: str) -> Mapping[str, Any]:
    """Returns the JSON schema of such a format, for sources that are stored so."""
    about = f"{stored} codes with one power-of-two scale per 32 columns. An exact copy of an {stored} source."
    return {
        "description": f"{about} No parameters: {{}}.",
        "type": "object",
        "additionalProperties": False,
        "examples": [{}],
    }
