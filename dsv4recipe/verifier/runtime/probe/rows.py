"""Floor 4, verifier (child side). The logits of many token sequences, one after the other, into one file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from . import forward
from .adapter import Adapter


def written(runtime: Adapter, model: Any, rows: Path, out: Path) -> dict[str, Any]:
    """Runs every sequence with a cache of its own and writes the logits of all positions to `out`.

    `rows` (.npz) holds `ids` int32 [tokens], all sequences one after the other, and `lengths` int64 [sequences]; `out`
    is float32 [tokens, vocab] .npy. Returns {"sequences", "tokens", "finite"}.
    """
    with np.load(rows) as held:
        ids, lengths = held["ids"], held["lengths"]
    file, first, finite = None, 0, True
    for length in lengths.tolist():
        part = [int(token) for token in ids[first : first + length]]
        logits = forward.prefill(runtime, model, part, runtime.text(model).make_cache(), True)[0]
        if file is None:
            file = np.lib.format.open_memmap(out, "w+", np.float32, (len(ids), logits.shape[-1]))
        file[first : first + length] = logits
        finite = finite and bool(np.isfinite(logits).all())
        first += length
    if file is not None:
        file.flush()
    return {"sequences": len(lengths), "tokens": first, "finite": finite}
