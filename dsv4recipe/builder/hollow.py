"""Floor 4, builder. Makes a dry run on disk: a full-size bundle with all headers and side files but holes for data.

It shows in a second what a loader says of names, types, shapes and metadata, before hours of work. It has no manifest
and no card, so nothing takes it for a finished bundle.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from dsv4recipe.builder.preflight import check_names, check_source
from dsv4recipe.builder.work_folder import WorkFolder
from dsv4recipe.bundle.manifest import PLAN_NAME, manifest_path
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.files import disk
from dsv4recipe.paths import as_path
from dsv4recipe.plan.containers import header_of
from dsv4recipe.plan.model import Plan, PlannedShard
from dsv4recipe.units import human_size

_PROBE = 1 << 20
_CARD = "README.md"


def build_headers(plan: Plan, checkpoint: Checkpoint, out: str | Path) -> Path:
    """Writes the hollow bundle of a plan at `out`, which must be new, and returns its path. Reads no weight.

    Raises RecipeError B001 (something is there), B002 (the source changed), B004 (a file system without holes has too
    little space), B009, B010 and B011.
    """
    out = as_path(out)
    work = WorkFolder(out, plan)
    work.check_name()
    places = work.making.places
    for path in (out, manifest_path(out)):
        if os.path.lexists(path) and not disk.is_empty_folder(path):
            raise RecipeError(
                "B001", "the output already exists", Where(str(path)), "choose another output, or move this away"
            )
    check_source(plan, checkpoint)
    left_out = {_CARD, PLAN_NAME} if places.plan_inside else {_CARD}
    made = {name: text for name, text in work.making.side_files(plan, checkpoint, "").items() if name not in left_out}
    check_names(plan, made, out)
    temp = disk.temporary(out)
    try:
        for shard in plan.shards:
            disk.make_folder(places.file(temp, shard.file).parent)
        _check_holes(plan, temp)
        for shard in plan.shards:
            _write(places.file(temp, shard.file), header_of(plan, shard, checkpoint), shard)
        for name, text in made.items():
            disk.make_folder((temp / name).parent)
            _write(temp / name, text, None)
        with disk.named_errors(out, "renaming"):
            disk.rename(temp, out)
            disk.sync_folder(out.parent)
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(temp) if temp.is_dir() else disk.discard(temp)
    return out


def _write(path: Path, head: bytes, shard: PlannedShard | None) -> None:
    with disk.named_errors(path, "writing"):
        handle = disk.create_new(path)
        try:
            disk.write_at(handle, head, 0)
            disk.fs.ftruncate(handle, len(head) if shard is None else shard.file_bytes)
            disk.sync_file(handle)
        finally:
            disk.close(handle)


def _check_holes(plan: Plan, temp: Path) -> None:
    """Checks the free space on a file system that fills holes with zeros, where the files take their full size."""
    probe = disk.temporary(temp)
    with disk.named_errors(probe, "trying a hole"):
        handle = disk.create_new(probe)
        try:
            disk.fs.ftruncate(handle, _PROBE)
            disk.sync_file(handle)
            holes = disk.fs.fstat(handle).st_blocks * 512 < _PROBE
        finally:
            disk.close(handle)
            disk.discard(probe)
    size, free = sum(shard.file_bytes for shard in plan.shards), disk.free_bytes(temp.parent)
    if not holes and free < size:
        message = (
            f"this file system has no holes, so {human_size(size)} are needed, but only {human_size(free)} are free"
        )
        raise RecipeError("B004", message, Where(str(temp.parent)), "choose an output on ext4, xfs, btrfs or APFS")
