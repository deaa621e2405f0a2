"""Records for tests, of made-up inputs: what the forward pass would show is shown by hand, so torch is not needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dsv4recipe.calibration.manifest import manifest, write_manifest
from dsv4recipe.calibration.recorder import JOURNAL, Recorder
from dsv4recipe.checkpoint.graph import Checkpoint

TOKENS = 300


def record(checkpoint: Checkpoint, out: Path, kind: str = "int8", layers: int | None = None, seed: int = 0) -> Path:
    """A record of the expert blocks of the first `layers` layers; the last expert of each never sees a token."""
    dims, generator = checkpoint.dims, np.random.default_rng(seed)
    out.mkdir()
    recorder = Recorder(out, ("experts",), kind, TOKENS, dims.experts)
    mix = np.eye(dims.hidden) + generator.normal(0, 0.1, (dims.hidden, dims.hidden))
    spread = np.exp(generator.normal(0, 0.7, dims.hidden))
    for layer in range(dims.layers if layers is None else layers):
        inputs = ((generator.normal(0, 1, (TOKENS, dims.hidden)) * spread) @ mix).astype(np.float32)
        ids = np.argsort(generator.random((TOKENS, dims.experts - 1)), axis=1)[:, : dims.topk]
        weights = generator.random((TOKENS, dims.topk)).astype(np.float32)
        recorder.experts(layer, inputs, ids, weights)
        for expert in range(dims.experts - 1):
            tokens, place = np.nonzero(ids == expert)
            inner = generator.normal(0, 1, (len(tokens), dims.inter)).astype(np.float32)
            recorder.expert(layer, expert, tokens, inputs[tokens], weights[tokens, place], inner)
        recorder.layer(layer)
    write_manifest(out, manifest(checkpoint, {"digest": "none"}, TOKENS, ("experts",), kind))
    (out / JOURNAL).unlink()
    return out
