"""Floor 4, verifier (child side). Reads what a loader finds on disk: config and lazy tensors, by the loaders' own
glob."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx

TQ_SUFFIXES = (".tq_packed", ".tq_norms", ".tq_bits")
_PROJECTION = {"w1": "gate_proj", "w2": "down_proj", "w3": "up_proj"}
_STACKED = re.compile(r"(?:model\.)?(layers\.\d+\.mlp\.switch_mlp\.(?:gate|up|down)_proj)$")
_EXPERT = re.compile(r"(layers\.\d+)\.ffn\.experts\.\d+\.(w[123])$")


@dataclass(frozen=True)
class Contents:
    """The content of a bundle. `plain` are tensors that mlx modules hold, `tq` maps module paths to MXTQ tensors,
    `stray` are MXTQ tensors of no module, and `packed` are all MXTQ tensors by name, lazy."""

    config: dict[str, Any]
    names: frozenset[str]
    plain: dict[str, mx.array]
    tq: dict[str, list[str]]
    stray: list[str]
    packed: dict[str, mx.array]


def read_contents(bundle: Path) -> Contents:
    """Returns config and lazy tensors of every `model*.safetensors` (mlx-lm's glob; jang's is a part of it).

    MXTQ module paths are resolved like in jang 2.5.50's loader.
    """
    config = json.loads((bundle / "config.json").read_text(encoding="utf-8"))
    weights: dict[str, mx.array] = {}
    for file in sorted(bundle.glob("model*.safetensors")):
        weights.update(mx.load(str(file)))  # type: ignore[arg-type]
    if not weights:
        raise FileNotFoundError(f"no model*.safetensors in {bundle.name}")
    plain: dict[str, mx.array] = {}
    tq: dict[str, list[str]] = {}
    stray: list[str] = []
    for name, array in weights.items():
        if not name.endswith(TQ_SUFFIXES):
            plain[name] = array
        elif not name.startswith("mtp."):
            path = _tq_module(name.rpartition(".")[0])
            if path:
                tq.setdefault(path, []).append(name)
            else:
                stray.append(name)
    packed = {name: array for name, array in weights.items() if name not in plain}
    return Contents(config, frozenset(weights), plain, tq, sorted(stray), packed)


def _tq_module(base: str) -> str:
    """Returns the path of the module that the MXTQ tensors `base`.tq_* hydrate, or "" if there is none."""
    if stacked := _STACKED.match(base):
        return f"model.{stacked[1]}"
    if expert := _EXPERT.match(base):
        return f"model.{expert[1]}.mlp.switch_mlp.{_PROJECTION[expert[2]]}"
    return ""
