"""Floor 3, bundle. Recognises the number format of a stored module from dtypes and shapes, never from claims of a file.

This module is pure. Each format knows its own layout (`Format.recognise`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dsv4recipe.formats import Format, Part, SourceTensor
from dsv4recipe.formats.base import Stem
from dsv4recipe.formats.registry import recognise as registered
from dsv4recipe.headers.safetensors import TensorEntry


@dataclass(frozen=True, slots=True)
class Unrecognised(Format):
    """Tensors that no format of this version describes. It takes the place of a format, but cannot be built."""

    reason: str

    @classmethod
    def from_spec(cls, value: Any) -> Unrecognised:
        return cls(str(value))

    @property
    def kind(self) -> str:
        return f"unrecognised ({self.reason})"

    def parts(self, source: SourceTensor) -> tuple[Part, ...]:  # noqa: ARG002 - the signature of a format
        return ()

    def problem(self, source: SourceTensor) -> str:  # noqa: ARG002
        return self.reason

    def lossless(self, source: SourceTensor) -> bool:  # noqa: ARG002
        return False

    def spec(self) -> dict[str, Any]:
        return {"unrecognised": self.reason}


def recognise(
    parts: Mapping[str, TensorEntry], shape: tuple[int, ...], stack: int, seed: int, gguf: bool = False
) -> Format:
    """Returns the format of the tensors of one stem, by suffix. `shape` is the logical shape of one member, `stack` the
    number of members in the stem (1 if it is not a stack). `seed` is the one that MXTQ's signs were drawn from, because
    no header shows it."""
    made = {suffix: Part(suffix, entry.dtype, entry.shape) for suffix, entry in parts.items()}
    stored = ", ".join(f"{suffix or 'tensor'} {part.dtype} {list(part.shape)}" for suffix, part in made.items())
    return registered(Stem(made, shape, stack, gguf, seed)) or Unrecognised(stored)
