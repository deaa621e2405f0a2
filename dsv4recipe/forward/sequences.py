"""Floor 4, forward. Arranges token sequences as batches of equal length along one axis of all tokens. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive sequences of one length. `first` is the number of the first token, counted over all sequences."""

    first: int
    ids: Ids

    @property
    def shape(self) -> tuple[int, int]:
        """Returns (sequences, tokens of each)."""
        return self.ids.shape[0], self.ids.shape[1]

    @property
    def last(self) -> int:
        return self.first + self.ids.size


def batches(sequences: Sequence[NDArray[Any]], most: int) -> list[Batch]:
    """Returns the sequences in order, in as few batches as hold `most` tokens each. A longer sequence is its own
    batch."""
    found: list[Batch] = []
    held: list[Ids] = []
    first = 0

    def close() -> None:
        nonlocal first
        if held:
            found.append(Batch(first, np.stack(held)))
            first += found[-1].ids.size
            held.clear()

    for sequence in sequences:
        ids = np.asarray(sequence, np.int64)
        if held and (len(held[0]) != len(ids) or (len(held) + 1) * len(ids) > most):
            close()
        held.append(ids)
    close()
    return found


def rows(tokens: NDArray[Any], length: int) -> list[Ids]:
    """Returns a stream of tokens cut into whole sequences of `length`; the rest at the end is not used."""
    count = len(tokens) // length
    return list(np.asarray(tokens[: count * length], np.int64).reshape(count, length))
