"""Bundles as others write them: headers, holes for data, and a config.json. Names and layouts: jang's converter and
`mlx_vlm.convert` (post-sanitize names inside a `language_model`)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.formats.base import ITEM_SIZE
from dsv4recipe.headers.safetensors import header_bytes
from dsv4recipe.plan.model import Plan
from dsv4recipe.plan.shards import shard_modules, stored_tensors

Tensor = tuple[str, str, tuple[int, ...]]


def tensors_of(plan: Plan) -> list[Tensor]:
    """(name, dtype, shape) of everything a plan stores."""
    return [
        (name, part.dtype, part.shape)
        for shard in plan.shards
        for name, _, part, _ in stored_tensors(shard_modules(shard, plan.by_disk))
    ]


def write(out: Path, tensors: Iterable[Tensor], config: Mapping[str, Any], shards: int = 2) -> Path:
    """The bundle, with its index; data are zeros that take no disk."""
    out.mkdir(parents=True)
    rows = sorted(tensors, key=lambda row: -ITEM_SIZE[row[1]])
    weight_map = {}
    for number in range(shards):
        part = rows[number::shards]
        file = f"model-{number + 1:05d}-of-{shards:05d}.safetensors"
        header = header_bytes(part)
        size = sum(_size(dtype, shape) for _, dtype, shape in part)
        with (out / file).open("wb") as stream:
            stream.write(header)
            stream.truncate(len(header) + size)
        weight_map |= {name: file for name, _, _ in part}
    (out / "config.json").write_text(json.dumps(config))
    (out / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return out


def jang(out: Path, plan: Plan, checkpoint: Checkpoint) -> Path:
    """A plan for vmlx as jang's converter writes it: entries under source stems that no module has."""
    entry = {"bits": 4, "group_size": 32, "mode": "affine"}
    stems = {f"layers.{n}.ffn.experts.{e}.w{w}": entry for n in range(4) for e in range(8) for w in (1, 2, 3)}
    quantization = {"bits": 8, "group_size": 32, "mode": "affine", "mxtq_bits": {"attention": 8}, **stems}
    config = _config(checkpoint, quantization)
    return write(out, tensors_of(plan), config | {"weight_format": "mxtq", "mxtq_seed": 42}, 1)


def mlx_community(out: Path, plan: Plan, checkpoint: Checkpoint) -> Path:
    """A plan for mlx-vlm as `mlx_vlm.convert` saves it: with the wrapper in front of every name."""
    entries = {path: entry for path, entry in plan.overrides.items() if path.startswith("language_model.")}
    quantization = {"group_size": 64, "bits": 8, "mode": "affine", **entries}
    return write(out, renamed(tensors_of(plan), lambda n: f"language_model.{n}"), _config(checkpoint, quantization), 3)


def renamed(tensors: Iterable[Tensor], rename: Callable[[str], str]) -> list[Tensor]:
    return [(rename(name), dtype, shape) for name, dtype, shape in tensors]


def without(tensors: Iterable[Tensor], pattern: str) -> list[Tensor]:
    return [row for row in tensors if not re.search(pattern, row[0])]


def _config(checkpoint: Checkpoint, quantization: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in checkpoint.config.items() if key != "quantization_config"}
    return kept | {"quantization": dict(quantization)}


def _size(dtype: str, shape: tuple[int, ...]) -> int:
    size = ITEM_SIZE[dtype]
    for side in shape:
        size *= side
    return size
