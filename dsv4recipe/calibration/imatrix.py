"""Floor 4, calibration. A record as an importance file of llama.cpp, in its first format or as GGUF. Pure.

Both hold sums of squares of the inputs of every recorded matrix of routed experts, by expert; an expert without a token
has those of all. Sums count as one row each, so that a reader finds the record's very numbers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from dsv4recipe.headers.gguf import Pair, gguf_header_bytes, padded
from dsv4recipe.importance.names import gguf_name
from dsv4recipe.records.model import Record
from dsv4recipe.records.names import DOWN, EXPERTS

_SAID = "dsv4recipe record"


def as_named(record: Record, suffix: str) -> bytes:
    """GGUF for ".gguf", the first format for any other ending."""
    return gguf(record) if suffix == ".gguf" else dat(record)


def dat(record: Record) -> bytes:
    """llama.cpp's first format, which ds4's quantizer reads too."""
    entries = list(_entries(record))
    out = [struct.pack("<i", len(entries))]
    for name, values in entries:
        raw = name.encode()
        out += [struct.pack("<i", len(raw)), raw, struct.pack("<ii", 1, values.size), values.astype("<f4").tobytes()]
    return b"".join((*out, struct.pack("<ii", 1, len(_SAID)), _SAID.encode()))


def gguf(record: Record) -> bytes:
    """llama.cpp's GGUF format: `NAME.in_sum2` [experts, columns] and `NAME.counts` [experts, 1]."""
    pairs = [
        Pair("general.type", "str", "imatrix"),
        Pair("imatrix.datasets", "str[]", [_SAID]),
        Pair("imatrix.chunk_count", "u32", 1),
        Pair("imatrix.chunk_size", "u32", record.tokens),
    ]
    tensors: list[tuple[str, NDArray[np.float32]]] = []
    for name, values in _entries(record):
        tensors.append((f"{name}.in_sum2", values))
        tensors.append((f"{name}.counts", np.ones((len(values), 1), np.float32)))
    header = gguf_header_bytes(pairs, ((name, "F32", values.shape) for name, values in tensors))
    data = (values.astype("<f4").tobytes() for _, values in tensors)
    return header + b"".join(each.ljust(padded(len(each)), b"\0") for each in data)


def _entries(record: Record) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """(name as llama.cpp has it, float32 [experts, columns])."""
    for layer in sorted(number for number in record.layers if number is not None):
        arrays = record.layers[layer].arrays
        for projection, entry in (("w1", EXPERTS), ("w3", EXPERTS), ("w2", DOWN)):
            if f"{entry}.energy" not in arrays:
                continue
            experts, width = arrays[f"{entry}.energy"].shape
            tensors = [f"layers.{layer}.ffn.experts.{expert}.{projection}.weight" for expert in range(experts)]
            yield gguf_name(tensors[0])[0], np.stack([record.columns(tensor, width) for tensor in tensors])
