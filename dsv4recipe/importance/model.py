"""Floor 1, importance. An importance file as data: one non-negative number per input column of a matrix. This module is
pure.

The number is the mean square of what went into that column during calibration, so Σ_j w_j·(x_j − x̂_j)² is what a
matrix's output errs by. Only the ratios of one matrix's numbers mean anything.
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
        """Config and header digest of the checkpoint that it was made from; None where that is not known."""

    def columns(self, tensor: str, width: int) -> Floats:
        """Returns float32 [width]: what each column of a source tensor counts. Only where `problem` found none."""
        ...

    def problem(self, tensors: Iterable[str], width: int, experts: int) -> str:
        """Why it does not serve the `tensors` of a module; "" if it does."""
        ...


@dataclass(frozen=True, slots=True)
class Importance:
    """A file that was read. `entries` are float32 per entry name, flat, the matrices of a stack one after another.

    `format` is "imatrix-dat" or "imatrix-gguf"; `datasets` and `chunks` are what the file says of its calibration.
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
        """Returns float32 [width] for a source tensor such as "layers.3.ffn.experts.17.w1.weight", as the file has it.
        Only where `problem` found none."""
        found = self._find(tensor)
        assert found is not None
        return _own(*found, width)

    def problem(self, tensors: Iterable[str], width: int, experts: int) -> str:
        """Why the file does not serve the `tensors` of a module, all `width` columns wide; "" if it does. `experts` is
        the size of their stack, 0 for a tensor of its own."""
        for tensor in tensors:
            found = self._find(tensor)
            if found is None:
                tried = [name for name, _ in entry_names(tensor)]
                return f"{tensor}: no entry {' or '.join(dict.fromkeys(tried))}"
            values, expert = found
            wanted = width if expert is None else width * experts
            if len(values) != wanted:
                return f"{tensor}: its entry has {len(values):,} numbers, {wanted:,} columns are wanted"
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
    """Of an entry, what belongs to one matrix."""
    return values if expert is None else values[expert * width : (expert + 1) * width]
