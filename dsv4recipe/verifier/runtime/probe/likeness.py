"""Floor 4, verifier (child side). Measures how similar two sets of logits are. Pure, numpy."""

from __future__ import annotations

from typing import Any

import numpy as np


def compare(logits: np.ndarray, reference: np.ndarray) -> dict[str, Any]:
    """Compares two arrays of finite floats [positions, vocab] for the same prompt.

    `cosine` is the mean over positions. `nine_in_ten` is what nine positions in ten reach (near ties of a router or an
    indexer can change single positions with any tensors). `worst_cosine` is the least. `kl` is the mean of
    KL(reference ‖ logits) in nats. `top1` is the share of positions with the same best token. Raises ValueError if the
    shapes differ.
    """
    if logits.shape != reference.shape:
        raise ValueError(
            f"the logits have shape {list(logits.shape)}, but the reference's have {list(reference.shape)}"
        )
    a, b = logits.astype(np.float64), reference.astype(np.float64)
    norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    cosines = np.divide((a * b).sum(-1), norms, out=np.zeros(len(a)), where=norms > 0)
    p, q = _log_softmax(b), _log_softmax(a)
    return {
        "positions": len(a),
        "cosine": float(cosines.mean()),
        "nine_in_ten": float(np.quantile(cosines, 0.1)),
        "worst_cosine": float(cosines.min()),
        "kl": float((np.exp(p) * (p - q)).sum(-1).mean()),
        "top1": float((a.argmax(-1) == b.argmax(-1)).mean()),
        "max_delta": float(np.abs(a - b).max()),
        "reference_std": float(b.std()),
    }


def _log_softmax(x: np.ndarray) -> np.ndarray:
    shifted = x - x.max(-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(-1, keepdims=True)))
