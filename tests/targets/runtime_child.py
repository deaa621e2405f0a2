"""Runs inside a runtime's own environment: `load` a bundle strictly and run it, or `rename` tensors by its sanitizer.

    python runtime_child.py RUNTIME load BUNDLE TOKENS     TOKENS 0: headers and shapes only, nothing is evaluated
    python runtime_child.py RUNTIME rename CONFIG TENSORS  TENSORS: JSON, [name, kind, number] each

Prints one JSON document on stdout. RUNTIME: mlx-vlm, rapid-mlx, jang. Imports nothing of this project.
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
    else:
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
    quantized = {
        path: [module.bits, module.group_size, module.mode]
        for path, module in model.named_modules()
        if "scales" in module
    }
    if not tokens:
        return {**SEEN, "quantized": quantized}
    cache = make_cache()
    prompt = mx.array([[(17 * i + 3) % 512 for i in range(tokens)]])
    first = run(prompt, cache)[0, -1].astype(mx.float32)
    second = run(mx.argmax(first)[None, None], cache)[0, -1].astype(mx.float32)
    logits = [first.tolist(), second.tolist()]
    finite = all(math.isfinite(value) for row in logits for value in row)
    return {**SEEN, "quantized": quantized, "finite": finite, "logits": logits}


def stand_in(kind, number, rows):
    """A small array that a sanitizer takes for a tensor of this kind, and that carries its number through."""
    word = mx.array([[number]], mx.uint32)
    if kind == "fp4":
        return mx.repeat(word, 4, 1).view(mx.int8)  # 16 bytes, so one scale
    if kind == "fp8":
        return mx.repeat(word, rows, 0).view(mx.uint8)
    if kind == "fp4.scale":
        return mx.full((1, 1), number % 251, mx.uint8)
    if kind == "fp8.scale":
        return mx.full((rows // 128, 1), number % 251, mx.uint8)
    return mx.full((rows, 1), number, mx.int64 if kind == "int" else mx.float32)


def rename(runtime, config, tensors):
    """name after sanitize → the numbers in it, in order, each once."""
    config = json.loads(Path(config).read_text())
    rows = config["o_groups"] * config["o_lora_rank"]  # what a sanitizer splits the rows of wo_a into
    weights = {name: stand_in(kind, number, rows) for name, kind, number in json.loads(Path(tensors).read_text())}
    if runtime == "mlx-vlm":
        from mlx_vlm.utils import get_model_and_args

        module = get_model_and_args(config=dict(config))[0]
        model = module.Model(module.ModelConfig.from_dict(config))
    else:
        register(runtime)
        module = sys.modules["mlx_lm.models.deepseek_v4"]
        model = module.Model(module.ModelArgs.from_dict(config))
    renamed = model.sanitize(weights)
    return {name: list(dict.fromkeys(value.flatten().tolist())) for name, value in renamed.items()}


def main():
    runtime, what, *rest = sys.argv[1:]
    if what == "load":
        result = load(runtime, rest[0], int(rest[1]))
    else:
        result = rename(runtime, *rest)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
