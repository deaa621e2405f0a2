"""Floor 4, verifier (child side). How alike two sets of logits are. Pure, numpy."""

from __future__ import annotations

from typing import Any

import numpy as np


def compare(logits: np.ndarray, reference: np.ndarray) -> dict[str, Any]:
    """Returns both float [positions, vocab] and finite, of the same prompt.

    `cosine` is the mean over positions, `nine_in_ten` what nine positions in ten reach (near ties of a router or an
    indexer flip single positions, whatever the tensors), `worst_cosine` the least; `kl` the mean of
    KL(reference ‖ logits) in nats, `top1` the share of positions that prefer the same token. Raises ValueError where
    the shapes differ.
    """
    if logits.shape != reference.shape:
        raise ValueError(f"logits of shape {list(logits.shape)}, the reference's are {list(reference.shape)}")
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
