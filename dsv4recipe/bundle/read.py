"""Floor 3, bundle. The plan of a bundle: the one inside where its headers agree to the byte, else what they show.

Reads headers and JSON files, never weights.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from dsv4recipe.bundle.manifest import PLAN_NAME, is_one_file, manifest_path, read_manifest
from dsv4recipe.bundle.observe import observe, quantization_of
from dsv4recipe.bundle.view import open_bundle
from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.headers.safetensors import MAX_HEADER
from dsv4recipe.headers.strict_json import read_object
from dsv4recipe.plan.canonical import load_plan
from dsv4recipe.plan.containers import placed
from dsv4recipe.plan.model import Plan, PlannedShard
from dsv4recipe.plan.shards import shard_header, shard_modules

_JSON_LIMIT = 64 << 20


@dataclass(frozen=True)
class BundlePlan:
    """`plan` is known in full where `built` (dsv4recipe made the bundle and its headers are as planned), else it is
    what headers show; `runtimes` fit alike; `notes` says what a reader should know of how it was found."""

    plan: Plan
    built: bool
    runtimes: tuple[str, ...]
    notes: tuple[str, ...]


def read_bundle(root: Path, prefer: str = "") -> BundlePlan:
    """The plan of the bundle at `root`, whoever built it. `prefer` names the runtime to take where several fit alike.

    A GGUF is a file; its manifest stands beside it. Raises RecipeError V020 (no bundle), C060 to C062 (no GGUF), C010
    or C011 (config.json of no known family), P023 (a checkpoint).
    """
    notes: list[str] = []
    planned = _plan_inside(root, notes)
    if planned is not None:
        if _as_planned(root, planned):
            return BundlePlan(planned, True, (planned.target["runtime"],), ())
        notes.append("its headers or config.json are not as its plan says: compared by what they show")
        prefer = prefer or str(planned.target["runtime"])
    view, findings = open_bundle(root)
    notes += [f"{finding.code}: {finding.message}" for finding in findings]
    if any(entry.dtype == "F8_E8M0" for header in view.shards for entry in header.tensors):
        hint = "name it with --source, and a recipe, plan or bundle here"
        raise RecipeError("P023", "a source checkpoint, not a bundle", Where(str(root)), hint)
    seen = observe(view, prefer)
    if len(seen.runtimes) > 1 and not prefer:
        notes.append(f"its names fit {', '.join(seen.runtimes)} alike; read as {seen.plan.target['runtime']}")
    return BundlePlan(seen.plan, False, seen.runtimes, tuple(notes))


def _plan_inside(root: Path, notes: list[str]) -> Plan | None:
    try:
        return plan_inside(root)
    except (RecipeError, UnicodeDecodeError) as error:
        notes.append(f"its plan cannot be used ({str(error).splitlines()[0]}): compared by what headers show")
        return None


def plan_inside(root: Path) -> Plan | None:
    """The plan that a bundle carries: a file of the folder, or in the manifest beside the one file; None where there is
    none. Raises RecipeError P020, P021 and UnicodeDecodeError."""
    if is_one_file(root):
        contents = (read_manifest(root) or {}).get("contents")
        return None if contents is None else load_plan(json.dumps(contents), str(manifest_path(root)))
    path = root / PLAN_NAME
    return load_plan(path.read_text(encoding="utf-8"), str(path)) if path.is_file() else None


def _as_planned(root: Path, plan: Plan) -> bool:
    """Whether a GGUF has the size and the very header of the plan. Of a folder: whether every shard has both, no other
    shard lies there, and config.json says of quantization what the plan says."""
    files = {shard.file for shard in plan.shards}
    if is_one_file(root):
        (shard,) = plan.shards
        return root.stat().st_size == shard.file_bytes and header_as_planned(root, plan, shard)
    if {path.name for path in root.glob("model*.safetensors")} != files:
        return False
    for shard in plan.shards:
        path = root / shard.file
        if path.stat().st_size != shard.file_bytes or not header_as_planned(path, plan, shard):
            return False
    try:
        config = read_object(root / "config.json", _JSON_LIMIT, "config.json", "V022")[0]
    except RecipeError:
        return False
    return quantization_of(config) == plan.overrides


def header_as_planned(path: Path, plan: Plan, shard: PlannedShard) -> bool:
    """Whether a file begins with the header that the plan gives it, byte for byte."""
    with path.open("rb") as stream:
        if shard.header:
            size = min((tensor.offset for tensor in placed(plan, shard)), default=0)
            return hashlib.sha256(stream.read(size)).hexdigest() == shard.header
        header = shard_header(shard_modules(shard, plan.by_disk))
        return len(header) <= MAX_HEADER and stream.read(len(header)) == header
