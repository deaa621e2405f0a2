"""Floor 5, api. `inspect` says what a checkpoint or bundle holds, from its headers alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from dsv4recipe.api.subjects import as_bundle, is_bundle_on_hub
from dsv4recipe.bundle.open import open_bundle
from dsv4recipe.bundle.places import is_bundle
from dsv4recipe.checkpoint.graph import Checkpoint, open_checkpoint
from dsv4recipe.checkpoint.other_things import snapshot_in
from dsv4recipe.errors import Problems
from dsv4recipe.paths import as_path


def inspect(path: str | Path | Checkpoint) -> dict[str, Any]:
    """Returns the document that `inspect --json` prints: kind, family, tensors, bytes, shards, and tensors and bytes by
    role or dtype.

    `path` is a folder, a GGUF file or hf://org/repo@revision. Raises RecipeError as `open_checkpoint` does, and V02x
    for a damaged bundle.
    """
    if isinstance(path, Checkpoint):
        found = _checkpoint(path)
    else:
        here = is_bundle_on_hub(path) or is_bundle(snapshot_in(as_path(path)))
        found = _bundle(as_bundle(path)) if here else _checkpoint(open_checkpoint(path))
    return {"format_version": 1, **found}


def _checkpoint(checkpoint: Checkpoint) -> dict[str, Any]:
    count: Counter[str] = Counter()
    size: Counter[str] = Counter()
    for tensor in checkpoint.tensors:
        label = f"{tensor.slot.row.role} ({tensor.source.stored})"
        count[label] += 1 if tensor.scale is None else 2
        size[label] += tensor.weight.end - tensor.weight.start
        size[label] += 0 if tensor.scale is None else tensor.scale.end - tensor.scale.start
    return {
        "kind": "checkpoint",
        "family": checkpoint.family.name,
        "tensors": checkpoint.folder.tensors,
        "bytes": checkpoint.folder.bytes,
        "shards": len(checkpoint.folder.files),
        "layers": checkpoint.dims.layers,
        "mtp_stages": checkpoint.dims.stages,
        "experts": checkpoint.dims.experts,
        **({"mtp_experts": mtp} if (mtp := checkpoint.dims.experts_in("mtp")) != checkpoint.dims.experts else {}),
        "dialect": checkpoint.dialect,
        "notes": [note.as_json() for note in checkpoint.notes],
        "grouped": "role (stored as)",
        "by": [{"name": n, "tensors": count[n], "bytes": size[n]} for n, _ in size.most_common()],
    }


def _bundle(path: Path) -> dict[str, Any]:
    view, findings = open_bundle(path)
    problems = Problems(findings)
    problems.raise_if_any()
    count: Counter[str] = Counter()
    size: Counter[str] = Counter()
    for header in view.shards:
        for entry in header.tensors:
            count[entry.dtype] += 1
            size[entry.dtype] += entry.end - entry.start
    return {
        "kind": "bundle",
        "family": str(view.config.get("model_type")),
        "tensors": sum(count.values()),
        "bytes": sum(size.values()),
        "shards": len(view.shards),
        "grouped": "dtype",
        "by": [{"name": n, "tensors": count[n], "bytes": size[n]} for n, _ in size.most_common()],
    }
