"""Runs inside a runtime's own environment: loads a bundle strictly, runs it, and uses what only this release has.

    python release_child.py RUNTIME BUNDLE TOKENS

Loads and runs as the probe of `verify` does, by its own modules; beyond it are Rapid-MLX's drafter, and mlx-vlm's image
tower and Engram tables. Prints one JSON document on stdout. RUNTIME is a name of the probe's.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import sys
from importlib import import_module
from pathlib import Path

import mlx.core as mx
import numpy as np

PROBE = Path(__file__).parents[2] / "dsv4recipe" / "verifier" / "runtime" / "probe"


def probe(module):
    """A module of the probe, which imports nothing of the project's and needs no copy of it here."""
    spec = importlib.util.spec_from_file_location("house", PROBE / "house.py")
    house = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(house)
    house.register()
    return import_module(f"dsv4recipe.verifier.runtime.probe.{module}")


def load(name, bundle, tokens):
    runtime = probe("adapter").adapters(probe("house").built_in())[name]
    runtime.bring()
    with probe("witness").watched() as seen:
        model = runtime.load(Path(bundle))
    forward, ids = probe("forward"), [(17 * i + 3) % 512 for i in range(tokens)]
    cache = runtime.text(model).make_cache()
    first = forward.prefill(runtime, model, ids, cache, False)[0][-1]
    second = runtime.logits(model, mx.array([[int(first.argmax())]]), cache)[0, -1].astype(mx.float32)
    logits = [first.tolist(), second.tolist()]
    seen |= {"finite": bool(np.isfinite(logits).all()), "logits": logits}
    if getattr(model, "mtp", None):
        seen["drafted"] = draft(model, mx.array([ids]))
    if "vision" in model:
        patches = mx.random.normal((36, model.vision.patch_embed.proj.weight.shape[1]), key=mx.random.key(0))
        seen["image"] = bool(mx.isfinite(model.encode_image(patches, 6, 6)).all())
        seen["hashed"] = model.language_model.engram_hash is not None
    return seen


def draft(model, prompt):
    """What Rapid-MLX's drafter makes of a prompt: the tokens after the next one, and whether its logits are finite."""
    cache, drafter = model.make_cache(), model.make_dspark_cache()
    logits, hidden = model(prompt, cache, return_dspark_hidden=True)
    model.dspark_forward(prompt[:, -1:], hidden, drafter)
    token = mx.argmax(logits[:, -1:], -1)
    _, hidden = model(token, cache, return_dspark_hidden=True)
    tokens, guesses = model.dspark_forward(token, hidden, drafter)
    return {"stages": len(model.mtp), "tokens": tokens[0].tolist(), "finite": bool(mx.isfinite(guesses).all())}


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):
        found = load(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    print(json.dumps(found))
