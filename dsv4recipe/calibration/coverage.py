"""Floor 4, calibration. How well a record covers the experts, and the record as an importance file. Reads rows."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dsv4recipe.importance.names import gguf_name
from dsv4recipe.records.model import Record
from dsv4recipe.records.names import DOWN, EXPERTS

_RANKED = 512


@dataclass(frozen=True, slots=True)
class Covered:
    """A layer: tokens of its least, median and most used expert, experts without a token, and the effective rank of
    the inputs of its expert block: (Σλ)²/Σλ² over the eigenvalues of their second moments, of 512 tokens."""

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


def imatrix(record: Record) -> bytes:
    """Returns the record as an importance file of llama.cpp's first format (.dat), which ds4's quantizer reads too:
    mean squares of the inputs of every recorded matrix of routed experts, by expert; an expert without a token has
    those of all."""
    entries = []
    for layer in sorted(number for number in record.layers if number is not None):
        arrays = record.layers[layer].arrays
        for projection, entry in (("w1", EXPERTS), ("w3", EXPERTS), ("w2", DOWN)):
            if f"{entry}.energy" not in arrays:
                continue
            experts, width = arrays[f"{entry}.energy"].shape
            tensors = [f"layers.{layer}.ffn.experts.{expert}.{projection}.weight" for expert in range(experts)]
            values = np.concatenate([record.columns(tensor, width) for tensor in tensors])
            entries.append((gguf_name(tensors[0])[0], values))
    out = [struct.pack("<i", len(entries))]
    for name, values in entries:
        raw = name.encode()
        out += [struct.pack("<i", len(raw)), raw, struct.pack("<ii", 1, len(values)), values.astype("<f4").tobytes()]
    text = "dsv4recipe record"
    return b"".join((*out, struct.pack("<ii", 1, len(text)), text.encode()))
