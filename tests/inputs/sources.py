"""Checkpoints as tables of tensors: read whole, changed, written again in any layout of files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dsv4recipe.headers.safetensors import header_bytes, read_header

INDEX = "model.safetensors.index.json"


@dataclass(frozen=True)
class Raw:
    """A stored tensor: safetensors dtype, shape, bytes."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes

    def array(self, dtype: str) -> np.ndarray:
        return np.frombuffer(self.data, dtype).reshape(self.shape).copy()


Tensors = dict[str, Raw]


def read_tensors(root: Path) -> Tensors:
    """Every stored tensor of a folder of safetensors files."""
    found: Tensors = {}
    for path in sorted(root.glob("*.safetensors")):
        whole = path.read_bytes()
        for entry in read_header(path).tensors:
            found[entry.name] = Raw(entry.dtype, entry.shape, whole[entry.start : entry.end])
    return found


def write_tensors(path: Path, tensors: Mapping[str, Raw]) -> None:
    """One safetensors file, in the order given."""
    head = header_bytes((name, raw.dtype, raw.shape) for name, raw in tensors.items())
    path.write_bytes(head + b"".join(raw.data for raw in tensors.values()))


def write_source(root: Path, files: Mapping[str, Tensors], index: Mapping[str, str] | None) -> None:
    """The safetensors files of a checkpoint in place of those that are there; `index` is its weight map, if any."""
    for old in (*root.glob("*.safetensors"), *root.glob(INDEX)):
        old.unlink()
    for name, tensors in files.items():
        write_tensors(root / name, tensors)
    if index is not None:
        (root / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": dict(index)}))


def sharded(names: Iterable[str], shard_of: Callable[[str], int]) -> dict[str, list[str]]:
    """Names by file, of a numbered set; `shard_of` gives any number per name."""
    found: dict[int, list[str]] = {}
    for name in names:
        found.setdefault(shard_of(name), []).append(name)
    total = len(found)
    return {f"model-{n:05d}-of-{total:05d}.safetensors": found[key] for n, key in enumerate(sorted(found), 1)}


def layer_of(name: str) -> int:
    """A shard for each layer and stage, as releases have them."""
    parts = name.split(".")
    numbered = [int(part) for part in parts[:4] if part.isdecimal()]
    return (1000 if "mtp" in parts else 0) + 1 + numbered[0] if numbered else 0


def changed_copy(
    source: Path,
    out: Path,
    change: Callable[[Tensors], object] = lambda tensors: None,
    config: Callable[[dict[str, Any]], object] = lambda config: None,
) -> Path:
    """A copy of a checkpoint with other tensors and another config.json, one shard per layer."""
    shutil.copytree(source, out)
    tensors = read_tensors(out)
    change(tensors)
    files = sharded(tensors, layer_of)
    write_source(
        out,
        {file: {name: tensors[name] for name in names} for file, names in files.items()},
        {name: file for file, names in files.items() for name in names},
    )
    edit_json(out / "config.json", config)
    return out


def edit_json(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Changes a JSON file in place."""
    data = json.loads(path.read_text(encoding="utf-8"))
    change(data)
    path.write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")


def in_bf16(raw: Raw) -> Raw:
    """A float32 tensor cut to BF16."""
    bits = raw.array("<u4")
    return Raw("BF16", raw.shape, (bits >> 16).astype("<u2").tobytes())


def in_f32(raw: Raw) -> Raw:
    """A BF16 tensor widened to float32."""
    bits = raw.array("<u2").astype("<u4") << 16
    return Raw("F32", raw.shape, bits.astype("<u4").tobytes())
