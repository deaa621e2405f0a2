"""Floor 4, verifier (child side). Runs a prefill and a few tokens of greedy decoding, and describes the logits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mlx.core as mx
import numpy as np

from .adapter import Adapter

SHORT = 12
"""The length of the prompt that is run with and without a cache."""


@contextmanager
def _outputs(module: Any) -> Iterator[list[mx.array]]:
    """Yields a list that collects what a module returns within the block, in order."""
    kind, seen = type(module), []
    original = kind.__call__

    def kept(self: Any, *args: Any, **kwargs: Any) -> Any:
        out = original(self, *args, **kwargs)
        if self is module:
            seen.append(out)
        return out

    kind.__call__ = kept
    try:
        yield seen
    finally:
        kind.__call__ = original


def prefill(runtime: Adapter, model: Any, ids: list[int], cache: Any, every: bool) -> tuple[np.ndarray, dict[str, str]]:
    """Returns logits, float32 [positions, vocab], of all positions or only the last; and the dtypes of embedding and
    hidden state, which differ if half types are mixed.

    If a class projects only the last position (jang's), the hidden states of the others are projected here with its own
    `lm_head` in float32, as the class does.
    """
    text, tokens = runtime.text(model), mx.array([ids], dtype=mx.int32)
    body = getattr(text, "model", text)  # mlx-vlm's V4.1 has no module between the language model and its layers
    embed = getattr(body, "embed", None) or body.embed_tokens
    with _outputs(body.norm) as seen:
        logits = runtime.logits(model, tokens, cache)[0].astype(mx.float32)
    hidden = seen[-1]
    named = {"embedding": embed(tokens[:, :1]), "hidden": hidden}
    if not every:
        logits = logits[-1:]
    elif len(logits) < len(ids):
        before = text.lm_head(hidden[0, : len(ids) - len(logits)].astype(mx.float32)).astype(mx.float32)
        logits = mx.concatenate([before, logits])
    dtypes = {name: str(array.dtype).removeprefix("mlx.core.") for name, array in named.items()}
    return np.array(logits), dtypes


def decode(runtime: Adapter, model: Any, cache: Any, first: int, count: int, stop: frozenset[int] = frozenset()) -> Any:
    """Decodes greedily from a filled cache; the prefill chose `first`. Returns (token ids, whether all logits are
    finite). It ends before a token of `stop`, or after `count` tokens."""
    said: list[int] = []
    token, finite = first, True
    while len(said) < count and token not in stop:
        said.append(token)
        if len(said) == count:
            break
        last = runtime.logits(model, mx.array([[token]], dtype=mx.int32), cache)[0, -1].astype(mx.float32)
        finite = finite and bool(mx.isfinite(last).all())
        token = int(mx.argmax(last))
    return said, finite


def cache_effect(runtime: Adapter, model: Any, ids: list[int]) -> dict[str, Any]:
    """Returns how far a short prefill with a cache is from one without, for a class that runs without."""
    if not runtime.uncached:
        return {"cached_max_delta": None, "cached_same_argmax": None}
    with_cache, without = (prefill(runtime, model, ids[:SHORT], cache, False)[0][0]
                           for cache in (runtime.text(model).make_cache(), None))  # fmt: skip
    if not (np.isfinite(with_cache).all() and np.isfinite(without).all()):
        return {"cached_max_delta": None, "cached_same_argmax": None}
    return {
        "cached_max_delta": float(np.abs(with_cache - without).max()),
        "cached_same_argmax": bool(with_cache.argmax() == without.argmax()),
    }
