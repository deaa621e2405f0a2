"""Runs inside a runtime's own environment: loads a bundle strictly, runs it, and uses what only this release has.

    python release_child.py RUNTIME BUNDLE TOKENS

Beyond what the probe of `verify` does: Rapid-MLX's drafter, and mlx-vlm's image tower and Engram tables. Prints one
JSON document on stdout. RUNTIME: mlx-vlm, rapid-mlx, jang, mlx-lm. Imports nothing of this project.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import mlx.core as mx
from mlx import nn
from mlx.utils import tree_flatten

SEEN = {}


def recorded(original):
    """`load_weights` that notes which names the model wants and which it is given, and is strict."""

    def load_weights(self, weights, strict=True):
        wanted = {name: value.shape for name, value in tree_flatten(self.parameters())}
        given = {name: value.shape for name, value in weights}
        SEEN["strict"] = strict
        SEEN["missing"] = sorted(wanted.keys() - given.keys())
        SEEN["unexpected"] = sorted(given.keys() - wanted.keys())
        SEEN["misshapen"] = sorted(n for n in wanted.keys() & given.keys() if wanted[n] != given[n])
        SEEN["parameters"] = len(wanted)
        return original(self, weights, strict=True)

    return load_weights


def load_model(runtime, bundle):
    """The runtime's own loader, lazily. Returns a function from tokens and cache to logits, and the model."""
    if runtime == "mlx-vlm":
        from mlx_vlm.utils import load_model

        model = load_model(bundle, lazy=True)
        return model, model.language_model.make_cache, lambda x, cache: model.language_model(x, cache=cache).logits
    register(runtime)
    from mlx_lm.utils import load_model

    model = load_model(bundle, lazy=True, model_config=overlay(runtime, bundle))[0]
    return model, model.make_cache, lambda x, cache: model(x, cache=cache)


def register(runtime):
    if runtime == "jang":
        import jang_tools.dsv4.mlx_register  # noqa: F401
    elif runtime == "rapid-mlx":
        import rapid_mlx.models.deepseek_v4 as module

        sys.modules["mlx_lm.models.deepseek_v4"] = module


def overlay(runtime, bundle):
    """What the runtime changes in config.json before it loads."""
    if runtime != "rapid-mlx":
        return {}
    from rapid_mlx.utils.tokenizer import _deepseek_v4_quantization_override

    return _deepseek_v4_quantization_override(bundle)


def load(runtime, bundle, tokens):
    nn.Module.load_weights = recorded(nn.Module.load_weights)
    model, make_cache, run = load_model(runtime, Path(bundle))
    cache = make_cache()
    prompt = mx.array([[(17 * i + 3) % 512 for i in range(tokens)]])
    first = run(prompt, cache)[0, -1].astype(mx.float32)
    second = run(mx.argmax(first)[None, None], cache)[0, -1].astype(mx.float32)
    logits = [first.tolist(), second.tolist()]
    finite = all(math.isfinite(value) for row in logits for value in row)
    seen = {**SEEN, "finite": finite, "logits": logits}
    if getattr(model, "mtp", None):
        seen["drafted"] = draft(model, prompt)
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
    print(json.dumps(load(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
