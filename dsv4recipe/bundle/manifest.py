"""Floor 3, bundle. The manifest and the index: what a finished bundle says of itself."""

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
"""Bytes of a manifest that are read; real ones have some ten thousand."""


def manifest_path(bundle: Path) -> Path:
    """Where the manifest of a bundle is."""
    return places_of(bundle).manifest(bundle)


def shard_path(bundle: Path, file: str) -> Path:
    """Where a file of the plan is: a bundle that is one file may be called anything."""
    return places_of(bundle).file(bundle, file)


def index_text(plan: Plan) -> str:
    """model.safetensors.index.json: payload and parameter totals, and the shard of every stored tensor."""
    weight_map = {
        name: shard.file for shard in plan.shards for name, *_ in stored_tensors(shard_modules(shard, plan.by_disk))
    }
    metadata = {"total_size": plan.tensor_bytes, "total_parameters": plan.weights}
    return json.dumps({"metadata": metadata, "weight_map": dict(sorted(weight_map.items()))}, indent=2) + "\n"


def manifest_text(
    plan: Plan, files: Mapping[str, tuple[int, str]], encoders: str, evidence: Mapping[str, Any] | None = None
) -> str:
    """Returns the commit point of a bundle: plan, recipe, tool and encoder versions, size and sha256 of every other
    file. Model and revision are "" where the origin of the source is not known. With `evidence` (a quality.json) it is
    of version 2, which says what was measured."""
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
    """Why the manifest of a bundle is not, byte for byte, what a build wrote there; "" if it is. Raises OSError."""
    raw = manifest_path(bundle).read_bytes()
    try:
        data = json.loads(raw)
        digest = data.pop("digest", None)
        if not isinstance(digest, str):
            return "it has no digest of itself"
        return "" if digest == _digest(data) and _text(data | {"digest": digest}).encode() == raw else "it was changed"
    except (ValueError, AttributeError, RecursionError):
        return "it is no JSON object"


def _text(data: Mapping[str, Any]) -> str:
    return json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _digest(data: Mapping[str, Any]) -> str:
    """Returns sha256 (hex) of the manifest's text without this digest: one flipped bit in the manifest itself shows,
    too."""
    return hashlib.sha256(_text(data).encode()).hexdigest()


def read_manifest(bundle: Path) -> dict[str, Any] | None:
    """Returns the manifest of a bundle; None where there is none that can be read."""
    path = manifest_path(bundle)
    try:
        if regular_size(path) > MAX_MANIFEST:
            return None
        data = parse_json(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None
