"""Floor 3, bundle. Checks whether files have exactly the size and header that a plan gives them. Reads headers."""

from __future__ import annotations

import hashlib
from pathlib import Path

from dsv4recipe.bundle.observe import quantization_of
from dsv4recipe.errors import RecipeError
from dsv4recipe.headers.safetensors import MAX_HEADER
from dsv4recipe.headers.strict_json import read_object
from dsv4recipe.plan.containers import placed
from dsv4recipe.plan.model import Plan, PlannedShard
from dsv4recipe.plan.shards import shard_header, shard_modules

_JSON_LIMIT = 64 << 20


def folder_as_planned(root: Path, plan: Plan) -> bool:
    """Returns whether every shard is as planned, there is no other shard, and config.json says of quantization what the
    plan says."""
    if {path.name for path in root.glob("model*.safetensors")} != {shard.file for shard in plan.shards}:
        return False
    if not all(_file_as_planned(root / shard.file, plan, shard) for shard in plan.shards):
        return False
    try:
        config = read_object(root / "config.json", _JSON_LIMIT, "config.json", "V022")[0]
    except RecipeError:
        return False
    return quantization_of(config) == plan.overrides


def one_file_as_planned(root: Path, plan: Plan) -> bool:
    """Returns whether the file, whatever its name, is the one file of the plan."""
    (shard,) = plan.shards
    return _file_as_planned(root, plan, shard)


def _file_as_planned(path: Path, plan: Plan, shard: PlannedShard) -> bool:
    return path.stat().st_size == shard.file_bytes and header_as_planned(path, plan, shard)


def header_as_planned(path: Path, plan: Plan, shard: PlannedShard) -> bool:
    """Returns whether a file begins exactly with the header that the plan gives it."""
    with path.open("rb") as stream:
        if shard.header:
            size = min((tensor.offset for tensor in placed(plan, shard)), default=0)
            return hashlib.sha256(stream.read(size)).hexdigest() == shard.header
        header = shard_header(shard_modules(shard, plan.by_disk))
        return len(header) <= MAX_HEADER and stream.read(len(header)) == header
