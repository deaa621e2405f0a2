"""Floor 3, bundle. Finds differences between the side files of two bundles. Reads small files, never shards.

It leaves out what follows from the tensors and the plan (the plan's diff shows index and quantization entries), and
what depends only on the recipe's text (card, recipe, plan, manifest).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dsv4recipe.bundle.manifest import INDEX_NAME, PLAN_NAME
from dsv4recipe.bundle.places import NAME
from dsv4recipe.headers.strict_json import parse_json
from dsv4recipe.paths import left_by_tools

_OURS = {NAME, PLAN_NAME, INDEX_NAME, "recipe.yaml", "README.md"}
_CONFIG = "config.json"
_DERIVED = {"quantization", "quantization_config"}
_LIMIT = 64 << 20

Fact = tuple[str, str, str]


def folder_differences(before: Path, after: Path) -> tuple[Fact, ...]:
    """Returns (what, before, after) for each side file that exists on one side only or differs; JSON files are compared
    key by key."""
    old, new = _listing(before), _listing(after)
    return tuple(fact for name in sorted({*old, *new}) for fact in _compare(name, old.get(name), new.get(name)))


def _compare(name: str, old: Path | None, new: Path | None) -> Iterator[Fact]:
    if old is None or new is None:
        yield f"side file {name}", _size(old), _size(new)
        return
    left, right = _object(old), _object(new)
    if left is None or right is None:
        first, second = _digest(old), _digest(new)
        if first != second:
            yield f"side file {name}", f"sha256 {first[:12]}", f"sha256 {second[:12]}"
        return
    for key in sorted({*left, *right} - (_DERIVED if name == _CONFIG else set())):
        if left.get(key) != right.get(key) or (key in left) != (key in right):
            yield f"side file {name}: {key}", _short(left, key), _short(right, key)


def _size(path: Path | None) -> str:
    return "" if path is None else f"{path.stat().st_size:,} B"


def _short(data: dict[str, Any], key: str) -> str:
    if key not in data:
        return "absent"
    text = json.dumps(data[key], ensure_ascii=False, sort_keys=True)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _listing(root: Path) -> dict[str, Path]:
    found = {}
    for base, folders, names in os.walk(root, followlinks=False):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(base) / name
            relative = path.relative_to(root).as_posix()
            if relative not in _OURS and not left_by_tools(relative) and not _is_shard(relative):
                found[relative] = path
    return found


def _is_shard(name: str) -> bool:
    return name.startswith("model") and name.endswith(".safetensors")


def _object(path: Path) -> dict[str, Any] | None:
    if path.suffix != ".json" or path.stat().st_size > _LIMIT:
        return None
    try:
        data = parse_json(path.read_bytes())
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
