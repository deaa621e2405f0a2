"""Floor 3, bundle. Writes and reads the manifest and the index, which describe a finished bundle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dsv4recipe.bundle.places import places_for, places_of
from dsv4recipe.headers.strict_json import parse_json, regular_size
from dsv4recipe.plan.canonical import plan_data
from dsv4recipe.plan.model import Plan
from dsv4recipe.plan.provenance import claimed
from dsv4recipe.plan.shards import shard_modules, stored_tensors
from dsv4recipe.version import VERSION

PLAN_NAME = "dsv4recipe.plan.json"
INDEX_NAME = "model.safetensors.index.json"
MAX_MANIFEST = 64 << 20
"""How many bytes of a manifest are read; real ones have about ten thousand."""


def manifest_path(bundle: Path) -> Path:
    """Returns the path of a bundle's manifest."""
    return places_of(bundle).manifest(bundle)


def shard_path(bundle: Path, file: str) -> Path:
    """Returns the path of a file of the plan; a bundle that is one file may have any name."""
    return places_of(bundle).file(bundle, file)


def index_text(plan: Plan) -> str:
    """Returns model.safetensors.index.json: payload and parameter totals, and the shard of every stored tensor."""
    weight_map = {
        name: shard.file for shard in plan.shards for name, *_ in stored_tensors(shard_modules(shard, plan.by_disk))
    }
    metadata = {"total_size": plan.tensor_bytes, "total_parameters": plan.weights}
    return json.dumps({"metadata": metadata, "weight_map": dict(sorted(weight_map.items()))}, indent=2) + "\n"


def manifest_text(
    plan: Plan, files: Mapping[str, tuple[int, str]], encoders: str, evidence: Mapping[str, Any] | None = None
) -> str:
    """Returns the text that completes a bundle: plan, recipe, tool and encoder versions, size and sha256 of every other
    file. Model and revision are "" if the origin of the source is not known. With `evidence` (a quality.json) it has
    version 2, which says what was measured."""
    model, revision = claimed(plan.source)
    data: dict[str, Any] = {
        "format_version": 1 if evidence is None else 2,
        "tool": {"name": "dsv4recipe", "version": VERSION, "encoders": encoders},
        "plan": plan.digest,
        "recipe": dict(plan.recipe),
        "source": {
            "model": model,
            "revision": revision,
            "config_digest": plan.source.config_digest,
            "header_digest": plan.source.header_digest,
        },
        "tensor_bytes": plan.tensor_bytes,
        "files": {name: {"size": size, "sha256": digest} for name, (size, digest) in sorted(files.items())},
    }
    if evidence is not None:
        data["evidence"] = dict(evidence)
    if places_for(plan).plan_inside:
        data["contents"] = plan_data(plan)
    return _text(data | {"digest": _digest(data)})


def manifest_problem(bundle: Path) -> str:
    """Returns why a bundle's manifest differs from what a build wrote, or "" if it does not. Raises OSError."""
    raw = manifest_path(bundle).read_bytes()
    try:
        data = json.loads(raw)
        digest = data.pop("digest", None)
        if not isinstance(digest, str):
            return "it has no digest of itself"
        return "" if digest == _digest(data) and _text(data | {"digest": digest}).encode() == raw else "it was changed"
    except (ValueError, AttributeError, RecursionError):
        return "it is not a JSON object"


def _text(data: Mapping[str, Any]) -> str:
    return json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _digest(data: Mapping[str, Any]) -> str:
    """Returns the sha256 (hex) of the manifest's text without this digest, so that one flipped bit shows."""
    return hashlib.sha256(_text(data).encode()).hexdigest()


def read_manifest(bundle: Path) -> dict[str, Any] | None:
    """Returns the manifest of a bundle, or None if there is none that can be read."""
    path = manifest_path(bundle)
    try:
        if regular_size(path) > MAX_MANIFEST:
            return None
        data = parse_json(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None
