"""Plausible sources, drawn: storage of control tensors, MTP, experts, sharding, side files, config variants."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.inputs.sources import Raw, Tensors, edit_json, in_bf16, in_f32, layer_of, read_tensors, sharded, write_source

CONTROL = ("hc_", "attn_sink", "gate.bias", ".ape")
Config = dict[str, Any]


def draw(rng: random.Random, source: Path, out: Path) -> list[str]:
    """Writes a variant of the tiny checkpoint `source` to `out`. Returns the words of what was changed."""
    shutil.copytree(source, out)
    tensors = read_tensors(out)
    config: Config = json.loads((out / "config.json").read_text(encoding="utf-8"))
    words = []
    for change in (_control, _norms, _stages, _pruned, _config):
        words += change(rng, tensors, config)
    _write(rng, out, tensors, words)
    (out / "config.json").write_text(json.dumps(config), encoding="utf-8")
    words += _beside(rng, out)
    return words


def _control(rng: random.Random, tensors: Tensors, config: Config) -> list[str]:
    if rng.random() < 0.5:
        return []
    some = [word for word in CONTROL if rng.random() < 0.6]
    for name, raw in list(tensors.items()):
        if raw.dtype == "F32" and any(word in name for word in some):
            tensors[name] = in_bf16(raw)
    return [f"BF16 {word}" for word in some]


def _norms(rng: random.Random, tensors: Tensors, config: Config) -> list[str]:
    if rng.random() < 0.7:
        return []
    for name, raw in list(tensors.items()):
        if raw.dtype == "BF16" and "norm" in name:
            tensors[name] = in_f32(raw)
    return ["F32 norms"]


def _stages(rng: random.Random, tensors: Tensors, config: Config) -> list[str]:
    kind = rng.choice(("kept", "kept", "gone", "gone and said"))
    if kind == "kept":
        return []
    for name in [name for name in tensors if name.startswith("mtp.")]:
        del tensors[name]
    if kind == "gone and said":
        config["num_nextn_predict_layers"] = 0
        config["compress_ratios"] = config["compress_ratios"][: config["num_hidden_layers"]]
    return [f"MTP {kind}"]


def _pruned(rng: random.Random, tensors: Tensors, config: Config) -> list[str]:
    """The last experts removed; the table of hash layers renumbered, or not."""
    if rng.random() < 0.7:
        return []
    left = config["n_routed_experts"] - rng.choice((1, 2, 4))
    renumbered = rng.random() < 0.7
    for name, raw in list(tensors.items()):
        _, experts, rest = name.partition(".ffn.experts.")
        if experts and int(rest.partition(".")[0]) >= left:
            del tensors[name]
        elif name.endswith(("ffn.gate.weight", "ffn.gate.bias")):
            tensors[name] = Raw(raw.dtype, (left, *raw.shape[1:]), raw.data[: len(raw.data) // raw.shape[0] * left])
        elif name.endswith("tid2eid") and renumbered:
            tensors[name] = Raw(raw.dtype, raw.shape, (raw.array("<i8") % left).tobytes())
    config["n_routed_experts"] = left
    return [f"{left} experts", *([] if renumbered else ["table not renumbered"])]


def _config(rng: random.Random, tensors: Tensors, config: Config) -> list[str]:
    changes: dict[str, Callable[[], object]] = {
        "eos list": lambda: config.update(eos_token_id=[1, 5]),
        "no swiglu_limit": lambda: config.pop("swiglu_limit"),
        "no rope_scaling": lambda: config.pop("rope_scaling"),
        "in text_config": lambda: _wrap(config),
    }
    chosen = [word for word in changes if rng.random() < 0.12]
    for word in chosen:
        changes[word]()
    return chosen


def _wrap(config: Config) -> None:
    inner = dict(config)
    config.clear()
    config |= {"model_type": inner["model_type"], "text_config": inner}
    if "quantization_config" in inner:
        config["quantization_config"] = inner.pop("quantization_config")


def _write(rng: random.Random, out: Path, tensors: Tensors, words: list[str]) -> None:
    kind = rng.choice(("layers", "one file", "scattered"))
    names = list(tensors)
    if kind == "one file":
        write_source(out, {"model.safetensors": tensors}, None)
        words.append(kind)
        return
    if kind == "scattered":  # scales apart from their weights, too
        rng.shuffle(names)
        words.append(kind)
    files = sharded(names, layer_of if kind == "layers" else lambda _: rng.randrange(5))
    index = {name: file for file, some in files.items() for name in some}
    write_source(out, {file: {name: tensors[name] for name in some} for file, some in files.items()}, index)


def _beside(rng: random.Random, out: Path) -> list[str]:
    if rng.random() < 0.8:
        return []
    name = rng.choice(("tokenizer.json", "generation_config.json", "encoding/encoding_dsv4.py", "LICENSE", "tokens"))
    if name == "tokens":
        edit_json(out / "tokenizer.json", lambda data: data["added_tokens"].append({"id": 99999, "content": "<more>"}))
    else:
        (out / name).unlink()
    return [f"without {name}" if name != "tokens" else "a token beyond the embedding"]
