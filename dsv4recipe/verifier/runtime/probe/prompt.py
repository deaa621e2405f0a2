"""Floor 4, verifier (child side). Draws the token ids of a prompt, long enough to reach every part of the model.
Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

BEYOND = 8
"""The number of tokens after the last border, so that more than one position lies behind it."""


def long_enough(config: Mapping[str, Any]) -> int:
    """Returns how many tokens make the sliding window move, the compressors close windows and the indexer choose: more
    blocks of the smallest compress ratio than its top-k. `config` is config.json of the family. The result is 136 for
    the tiny preset and 2,056 for V4-Flash."""
    text = config.get("text_config") or config
    ratios = [int(ratio) for ratio in text.get("compress_ratios") or () if ratio]
    chosen = int(text.get("index_topk") or 0) * min(ratios, default=0)
    return int(max(int(text.get("sliding_window") or 0), chosen, *ratios, 1)) + BEYOND


def token_ids(seed: int, count: int, vocab: int) -> list[int]:
    """Returns `count` ids below `vocab`, the same on every machine for one seed."""
    return [int(i) for i in np.random.default_rng(seed).integers(0, vocab, count)]
