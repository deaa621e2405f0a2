"""The toy format: one sign per weight, and the mean magnitude of each row in float32."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from dsv4recipe.formats.base import Format, Part, SourceTensor, Stem, divides


@dataclass(frozen=True, slots=True)
class Toy(Format):
    """w ≈ ± the mean magnitude of its row."""

    KIND: ClassVar[str] = "toy"
    SCHEMA: ClassVar[Mapping[str, Any]] = {
        "description": "Signs, and one magnitude per row.",
        "type": "object",
        "additionalProperties": False,
        "examples": [{}],
    }

    @classmethod
    def from_spec(cls, value: Any) -> Toy:
        if value != {}:
            raise ValueError("toy has no parameters")
        return cls()

    @classmethod
    def recognise(cls, stem: Stem) -> Toy | None:
        return cls() if set(stem.parts) == {".signs", ".means"} else None

    def parts(self, source: SourceTensor) -> tuple[Part, ...]:
        rows, columns = source.shape
        return Part(".signs", "U8", (rows, columns // 8)), Part(".means", "F32", (rows, 1))

    def problem(self, source: SourceTensor) -> str:
        return divides(source, 8, "toy")

    def lossless(self, source: SourceTensor) -> bool:  # noqa: ARG002
        return False

    def spec(self) -> dict[str, Any]:
        return {"toy": {}}

    def error_limit(self) -> float:
        return 1.0
