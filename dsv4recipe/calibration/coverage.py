"""Floor 4, calibration. Says how well a record covers the experts, and writes it as an importance file. Reads rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dsv4recipe.records.model import Record
from dsv4recipe.records.names import EXPERTS

_RANKED = 512


@dataclass(frozen=True, slots=True)
class Covered:
    """One layer: the tokens of its least, median and most used expert, the experts without a token, and the effective
    rank of the inputs of its expert block: (Σλ)²/Σλ² over the eigenvalues of their second moments, of 512 tokens."""

    layer: int
    least: int
    median: int
    most: int
    unseen: int
    experts: int
    rank: float


def coverage(record: Record) -> Iterator[Covered]:
    """Yields one line per layer with routed experts."""
    for layer, counts in record.coverage():
        found = record.layers[layer]
        step = max(1, found.count(EXPERTS) // _RANKED)
        rows = found.rows(EXPERTS, slice(None, None, step)).astype(np.float64)
        gram = rows @ rows.T
        rank = float(np.trace(gram) ** 2 / max(float((gram * gram).sum()), 1e-300))
        yield Covered(layer, int(counts.min()), int(np.median(counts)), int(counts.max()), int((counts == 0).sum()),
                      len(counts), round(rank, 1))  # fmt: skip
