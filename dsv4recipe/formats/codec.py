"""Floor 1, formats. What the module `codec` of a format's folder holds, and how it is found. This module is pure.

It is loaded when a weight is first encoded or decoded: reading recipes and planning need no numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dsv4recipe.formats.base import Format, SourceTensor

    Bytes = NDArray[np.uint8]
    Floats = NDArray[np.float32]
    Arrays = Sequence[NDArray[Any]]
    Empty = Callable[[tuple[int, ...], Any], NDArray[Any]]
    Gaps = tuple[float, float, float]


class Codec(Protocol):
    """The functions of a module `codec`. Those that a format does not need may be missing: see `optional`."""

    def encode(
        self, fmt: Any, source: SourceTensor, weight: Bytes, scale: Bytes | None, empty: Empty, columns: Floats | None
    ) -> tuple[NDArray[Any], ...]:
        """As `formats.encode.encode`, which has checked the arguments. `columns` float32 [columns]: the importance."""
        ...

    def decode(self, fmt: Any, source: SourceTensor, arrays: Arrays) -> Floats:
        """As `formats.decode.decode_parts`."""
        ...


class FullCodec(Codec, Protocol):
    """What a codec may have besides."""

    def gaps(
        self, fmt: Any, source: SourceTensor, arrays: Arrays, exact: Floats
    ) -> tuple[Gaps | None, bool | None] | None:
        """As `formats.compare.gaps`, without storing what the parts decode to; no gaps where that cannot be done."""
        ...

    def encode_first(
        self, fmt: Any, source: SourceTensor, weight: Bytes, scale: Bytes | None, rows: int, empty: Empty,
        columns: Floats | None,
    ) -> tuple[NDArray[Any], ...]:  # fmt: skip
        """Returns the first rows alone of what `encode` gives, for a format that is `searched`."""
        ...

    def decode_by_mlx(self, mx: Any, fmt: Any, source: SourceTensor, arrays: Arrays) -> Any:
        """Returns an mx.array float32 [rows, columns] made of the parts by mlx's own functions, for a format that
        `mx.dequantize` does not know."""
        ...

    def check_library(self) -> str:
        """Returns the version of the package `Format.library`, which has passed its test. Raises RecipeError F001,
        F002."""
        ...

    def library_version(self) -> str:
        """Returns the version of that package. Raises RecipeError F001."""
        ...


def codec_of(fmt: Format) -> FullCodec:
    """Returns the codec of a format."""
    return cast("FullCodec", import_module(f"{type(fmt).__module__.rpartition('.')[0]}.codec"))


def optional(fmt: Format, name: str) -> Any:
    """Returns a function of a format's codec, or None where it has none of that name."""
    return getattr(codec_of(fmt), name, None)
