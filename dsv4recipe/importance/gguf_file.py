"""Floor 1, importance. Reads entries from llama.cpp's GGUF imatrix, through the `gguf` package when called.

Each matrix has `NAME.in_sum2` [matrices, columns], sums of squares, and `NAME.counts` [matrices, 1], the summed rows.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dsv4recipe.importance.model import Floats

SUMS, COUNTS = ".in_sum2", ".counts"


def read_gguf(path: Path) -> tuple[dict[str, Floats], tuple[str, ...], int, int]:
    """Returns (entries, data sets, chunks, unseen matrices). Raises ImportError without the `gguf` package, ValueError
    if the file is not an imatrix, and whatever `gguf` raises for a broken file.

    A matrix with a count of 0 was never reached; as in llama.cpp, its columns count alike.
    """
    from gguf import GGMLQuantizationType, GGUFReader

    reader = GGUFReader(path)
    kind = reader.get_field("general.type")
    if kind is None or kind.contents() != "imatrix":
        raise ValueError("its general.type is not imatrix")
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    entries: dict[str, Floats] = {}
    unseen, matrices = 0, 0
    for name, tensor in tensors.items():
        if tensor.tensor_type != GGMLQuantizationType.F32:
            raise ValueError(f"{name} is not F32")
        base = name.removesuffix(SUMS)
        if base == name:
            if name.removesuffix(COUNTS) + SUMS not in tensors:
                raise ValueError(f"{name} has no matching {SUMS}")
            continue
        if base + COUNTS not in tensors:
            raise ValueError(f"{name} has no matching {COUNTS}")
        sums = np.atleast_2d(np.array(tensor.data, np.float32))
        counts = np.array(tensors[base + COUNTS].data, np.float32).reshape(-1)
        if sums.ndim != 2 or len(counts) != len(sums):
            raise ValueError(f"{base} has {len(counts):,} counts for sums of shape {list(sums.shape)}")
        if not (np.isfinite(counts).all() and (counts >= 0).all()):
            raise ValueError(f"{base}{COUNTS} holds a number that is not a count")
        seen = counts > 0
        unseen, matrices = unseen + int((~seen).sum()), matrices + len(seen)
        values = np.ones_like(sums)
        values[seen] = sums[seen] / counts[seen, None]
        entries[base] = values.reshape(-1)
    if not entries:
        raise ValueError("it has no entries")
    if unseen == matrices:
        raise ValueError("its calibration reached nothing, because every count is 0")
    datasets = reader.get_field("imatrix.datasets")
    chunks = reader.get_field("imatrix.chunk_count")
    names = () if datasets is None else tuple(map(str, datasets.contents()))
    return entries, names, 0 if chunks is None else int(chunks.contents()), unseen
