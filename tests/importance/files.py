"""Importance files for tests, written as llama.cpp and ds4 write them."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.importance.names import gguf_name

Floats = NDArray[np.float32]


def write_dat(path: Path, entries: Mapping[str, Floats], calls: int = 1, tail: bytes | None = None) -> Path:
    """llama.cpp's legacy layout; `tail` is what follows the entries."""
    data = struct.pack("<i", len(entries))
    for name, values in entries.items():
        raw = name.encode()
        data += struct.pack("<i", len(raw)) + raw + struct.pack("<ii", calls, values.size)
        data += values.astype("<f4").tobytes()
    path.write_bytes(data + (struct.pack("<ii", 7, 9) + b"calib.txt" if tail is None else tail))
    return path


def write_gguf(path: Path, sums: Mapping[str, Floats], counts: Mapping[str, Floats], kind: str = "imatrix") -> Path:
    """llama.cpp's GGUF layout; `sums` [matrices, columns] and `counts` [matrices] by weight name."""
    from gguf import GGUFWriter

    writer = GGUFWriter(path, "")
    writer.add_type(kind)
    writer.add_array("imatrix.datasets", ["calib.txt"])
    writer.add_uint32("imatrix.chunk_count", 7)
    for name, values in sums.items():
        writer.add_tensor(f"{name}.in_sum2", values.astype(np.float32))
    for name, values in counts.items():
        writer.add_tensor(f"{name}.counts", values.astype(np.float32).reshape(-1, 1))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def stacks(checkpoint: Checkpoint, seed: int = 0) -> dict[str, Floats]:
    """Mean squares for every matrix of a checkpoint that has a GGUF name, as llama.cpp would collect them:
    {"blk.0.ffn_gate_exps.weight": [experts, columns]}, with a few columns that count for much more."""
    rng = np.random.default_rng(seed)
    found = {}
    for group in checkpoint.groups:
        name, _ = gguf_name(group.members[0].name)
        if name:
            shape = (max(1, group.experts), group.source.shape[1])
            found[name] = (rng.standard_normal(shape) ** 2 * np.exp(rng.standard_normal(shape))).astype(np.float32)
    return found
