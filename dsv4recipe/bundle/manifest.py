"""Floor 3, bundle. The manifest and the index: what a finished bundle says of itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dsv4recipe.plan.model import Plan
from dsv4recipe.plan.shards import shard_modules, stored_tensors
from dsv4recipe.version import VERSION

NAME = "dsv4recipe.manifest.json"
PLAN_NAME = "dsv4recipe.plan.json"
INDEX_NAME = "model.safetensors.index.json"


def index_text(plan: Plan) -> str:
    """model.safetensors.index.json: payload and parameter totals, and the shard of every stored tensor."""
    weight_map = {
        name: shard.file for shard in plan.shards for name, *_ in stored_tensors(shard_modules(shard, plan.by_disk))
    }
    metadata = {"total_size": plan.tensor_bytes, "total_parameters": plan.weights}
    return json.dumps({"metadata": metadata, "weight_map": dict(sorted(weight_map.items()))}, indent=2) + "\n"


def manifest_text(plan: Plan, files: Mapping[str, tuple[int, str]], encoders: str) -> str:
    """The commit point of a bundle: plan, recipe, tool and encoder versions, size and sha256 of every other file."""
    data: dict[str, Any] = {
        "format_version": 1,
        "tool": {"name": "dsv4recipe", "version": VERSION, "encoders": encoders},
        "plan": plan.digest,
        "recipe": dict(plan.recipe),
        "source": {
            "model": plan.source.model,
            "revision": plan.source.revision,
            "config_digest": plan.source.config_digest,
            "header_digest": plan.source.header_digest,
        },
        "tensor_bytes": plan.tensor_bytes,
        "files": {name: {"size": size, "sha256": digest} for name, (size, digest) in sorted(files.items())},
    }
    return json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a folder; None where there is none that can be read."""
    try:
        data = json.loads((folder / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None
