"""Floor 4, verifier (child side). Token ids of a prompt, and how many reach every part of the model. This module is
pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

BEYOND = 8
"""Tokens past the last border, so that more than one position is behind it."""


def long_enough(config: Mapping[str, Any]) -> int:
    """Returns tokens after which the sliding window has moved, the compressors have closed windows and the indexer must
    choose: more blocks of the smallest compress ratio than its top-k. config.json of the family; 136 for the tiny
    preset, 2,056 for V4-Flash."""
    text = config.get("text_config") or config
    ratios = [int(ratio) for ratio in text.get("compress_ratios") or () if ratio]
    chosen = int(text.get("index_topk") or 0) * min(ratios, default=0)
    return int(max(int(text.get("sliding_window") or 0), chosen, *ratios, 1)) + BEYOND


def token_ids(seed: int, count: int, vocab: int) -> list[int]:
    """Returns `count` ids below `vocab`, the same on every machine for one seed."""
    return [int(i) for i in np.random.default_rng(seed).integers(0, vocab, count)]
