"""Floor 4, verifier (child side). Token ids, a prefill with and without cache, and what the logits say."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np


def token_ids(seed: int, count: int, vocab: int) -> list[int]:
    """`count` ids below `vocab`, the same on every machine for one seed."""
    return [int(i) for i in np.random.default_rng(seed).integers(0, vocab, count)]


def last_logits(model: Any, ids: list[int], cached: bool = False) -> np.ndarray:
    """Logits of the last position, float32 [vocab], of one prefill over all ids."""
    tokens = mx.array([ids], dtype=mx.int32)
    logits = model(tokens, cache=model.make_cache()) if cached else model(tokens)
    return np.array(logits[0, -1].astype(mx.float32))


def dtypes(model: Any, ids: list[int]) -> dict[str, str]:
    """Dtype of the embedding's output and of the last hidden state: they differ when half types are mixed.

    Builds the graph and evaluates nothing.
    """
    tokens = mx.array([ids], dtype=mx.int32)
    named = {"embedding": model.model.embed(tokens), "hidden": model.model(tokens)}
    return {name: str(array.dtype).removeprefix("mlx.core.") for name, array in named.items()}


def describe(logits: np.ndarray, cached: np.ndarray) -> dict[str, Any]:
    """Finiteness, spread, and the distance of the cached prefill from the uncached one."""
    finite = bool(np.isfinite(logits).all())
    cached_finite = bool(np.isfinite(cached).all())
    both = finite and cached_finite
    return {
        "finite": finite,
        "cached_finite": cached_finite,
        "std": float(logits.std()) if finite else None,
        "argmax": int(logits.argmax()) if finite else None,
        "cached_max_delta": float(np.abs(logits - cached).max()) if both else None,
        "cached_same_argmax": bool(logits.argmax() == cached.argmax()) if both else None,
    }


def compare(logits: np.ndarray, reference: np.ndarray) -> dict[str, Any]:
    """Cosine and largest difference between the bundle's logits and the dense source model's, both finite."""
    norm = float(np.linalg.norm(logits)) * float(np.linalg.norm(reference))
    return {
        "cosine": float(np.dot(logits.astype(np.float64), reference)) / norm if norm else 0.0,
        "max_delta": float(np.abs(logits - reference).max()),
        "reference_std": float(reference.std()),
        "same_argmax": bool(logits.argmax() == reference.argmax()),
    }
