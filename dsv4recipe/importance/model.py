"""Floor 1, importance. Holds an importance file as data: one non-negative number per input column of a matrix. Pure.

The number is the mean square of that column's inputs during calibration, so Σ_j w_j·(x_j − x̂_j)² is the error of a
matrix's output. Only the ratios of one matrix's numbers have a meaning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dsv4recipe.importance.names import entry_names
from dsv4recipe.importance.planned import PlannedImportance

Floats = NDArray[np.float32]


class Guide(Protocol):
    """What errors are weighed by: an importance file, or an activation record (`records.model`)."""

    @property
    def file(self) -> str: ...

    @property
    def sha256(self) -> str: ...

    @property
    def planned(self) -> PlannedImportance: ...

    @property
    def source(self) -> tuple[str, str] | None:
        """Returns config and header digest of the checkpoint that it was made from, or None if they are not known."""

    def columns(self, tensor: str, width: int) -> Floats:
        """Returns float32 [width]: the weight of each column of a source tensor. Valid only if `problem` returned
        ""."""
        ...

    def problem(self, tensors: Iterable[str], width: int, experts: int) -> str:
        """Returns why it does not fit the `tensors` of a module, or "" if it does."""
        ...


@dataclass(frozen=True, slots=True)
class Importance:
    """A file that was read. `entries` are flat float32 arrays by entry name, the matrices of a stack one after another.

    `format` is "imatrix-dat" or "imatrix-gguf". `datasets` and `chunks` are what the file says of its calibration.
    """

    file: str
    sha256: str
    format: str
    entries: Mapping[str, Floats]
    unseen: int = 0
    datasets: tuple[str, ...] = ()
    chunks: int = 0

    @property
    def planned(self) -> PlannedImportance:
        return PlannedImportance(self.sha256, self.format, self.unseen)

    @property
    def source(self) -> tuple[str, str] | None:
        return None

    def columns(self, tensor: str, width: int) -> Floats:
        """Returns float32 [width] for a source tensor such as "layers.3.ffn.experts.17.w1.weight", as in the file.
        Valid only if `problem` returned ""."""
        found = self._find(tensor)
        assert found is not None
        return _own(*found, width)

    def problem(self, tensors: Iterable[str], width: int, experts: int) -> str:
        """Returns why the file does not fit the `tensors` of a module, which have `width` columns, or "" if it does.
        `experts` is the size of their stack, 0 for a single tensor."""
        for tensor in tensors:
            found = self._find(tensor)
            if found is None:
                tried = [name for name, _ in entry_names(tensor)]
                return f"{tensor} has no entry {' or '.join(dict.fromkeys(tried))}"
            values, expert = found
            wanted = width if expert is None else width * experts
            if len(values) != wanted:
                return f"{tensor}: its entry has {len(values):,} numbers, but {wanted:,} are needed"
            own = _own(values, expert, width)
            finite = np.isfinite(own)
            if not finite.all():
                return f"{tensor}: column {int(finite.argmin())} is {own[finite.argmin()]}"
            if (own < 0).any():
                return f"{tensor}: column {int((own < 0).argmax())} is negative"
            if not own.any():
                return f"{tensor}: every column is 0"
        return ""

    def _find(self, tensor: str) -> tuple[Floats, int | None] | None:
        for name, expert in entry_names(tensor):
            if name in self.entries:
                return self.entries[name], expert
        return None


def _own(values: Floats, expert: int | None, width: int) -> Floats:
    """Returns the part of an entry that belongs to one matrix."""
    return values if expert is None else values[expert * width : (expert + 1) * width]
