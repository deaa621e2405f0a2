"""Floor 4, builder. `build`: a plan and its checkpoint → a finished bundle, or nothing under its name.

The story: what is at OUT? → does the source still match the plan? → is there room? → shards → side files → manifest →
the folder gets its name. Every state an interrupted build can leave is continued or refused, never mixed in.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dsv4recipe.builder import disk, journal, lease
from dsv4recipe.builder.local import run_shards
from dsv4recipe.builder.side import side_files
from dsv4recipe.builder.sources import Sources
from dsv4recipe.builder.tasks import shard_tasks, task_digest
from dsv4recipe.bundle.files import check_files
from dsv4recipe.bundle.manifest import NAME, PLAN_NAME, manifest_text, read_manifest
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.errors import Problems, RecipeError, Where
from dsv4recipe.formats.encode import ENCODER_VERSION
from dsv4recipe.plan.canonical import dump_plan
from dsv4recipe.plan.model import Plan
from dsv4recipe.units import human_size

Event = dict[str, Any]
_SPARE = 16 << 20


def build(
    plan: Plan,
    checkpoint: Checkpoint,
    out: str | Path,
    workers: int | None = None,
    on_event: Callable[[Event], None] = lambda event: None,
) -> Path:
    """Builds the bundle of a plan at `out` and returns its path. Run again, it continues; finished, it does nothing.

    `workers` threads encode (default: one per core). `on_event` gets plain dicts: plan_loaded, resumed, shard_started,
    written, shard_done, done. Raises RecipeError (B0xx); KeyboardInterrupt leaves a folder that can be continued.
    """
    out = Path(out)
    partial = out.with_name(out.name + ".partial")
    if _is_finished(out, plan):
        on_event({"event": "done", "out": str(out), "already": True, "bytes": plan.tensor_bytes})
        return out
    check_source(plan, checkpoint)
    made = side_files(plan, checkpoint)
    with disk.named_errors(partial, "creating the folder"):
        partial.mkdir(parents=True, exist_ok=True)
    with lease.held(partial):
        _adopt(partial, plan)
        if not _is_complete(partial, plan):
            _write(plan, checkpoint, partial, made, workers or os.cpu_count() or 1, on_event)
    _publish(partial, out)
    on_event({"event": "done", "out": str(out), "already": False, "bytes": plan.tensor_bytes})
    return out


def _write(
    plan: Plan,
    checkpoint: Checkpoint,
    partial: Path,
    made: dict[str, bytes],
    workers: int,
    on_event: Callable[[Event], None],
) -> None:
    """Writes every shard that the journal does not hold yet, then the commit."""
    entries = journal.finished(partial, {shard.file: task_digest(plan, shard) for shard in plan.shards})
    _check_room(plan, made, partial, frozenset(entries))
    total = sum(shard.file_bytes for shard in plan.shards)
    on_event({"event": "plan_loaded", "plan": plan.digest, "shards": len(plan.shards), "bytes": total})
    if entries:
        kept = sum(entry.size for entry in entries.values())
        on_event({"event": "resumed", "shards": len(entries), "bytes": kept})

    def done(entry: journal.Entry) -> None:
        journal.record(partial, entry)
        entries[entry.file] = entry
        on_event({"event": "shard_done", "file": entry.file, "bytes": entry.size, "sha256": entry.sha256})

    with Sources(checkpoint.folder.root) as sources:
        run_shards(
            shard_tasks(plan, checkpoint, frozenset(entries)),
            partial,
            sources,
            workers,
            started=lambda task: on_event({"event": "shard_started", "file": task.file, "bytes": task.size}),
            progressed=lambda task, size: on_event({"event": "written", "file": task.file, "bytes": size}),
            done=done,
        )
        sources.check_unchanged()
    _commit(partial, plan, made, entries)


def check_source(plan: Plan, checkpoint: Checkpoint) -> None:
    """Raises RecipeError B002 saying what moved between plan and source: config.json or headers."""
    problems = Problems()
    root = Where(str(checkpoint.folder.root))
    for what, planned, now in (
        ("config.json", plan.source.config_digest, checkpoint.folder.config_digest),
        ("the shard headers", plan.source.header_digest, checkpoint.folder.header_digest),
    ):
        if planned != now:
            note = (f"planned for {planned[:16]}, found {now[:16]}",)
            problems.error(
                "B002", f"{what} of the source changed since the plan was made", root, "make the plan again", note
            )
    problems.raise_if_any()


def _is_finished(out: Path, plan: Plan) -> bool:
    if not out.exists():
        return False
    found = read_manifest(out)
    if found is None:
        hint = "choose another output, or move this folder away"
        raise RecipeError("B001", "the output exists and is not a finished dsv4recipe bundle", Where(str(out)), hint)
    if found.get("plan") != plan.digest:
        notes = (f"it was built from plan {found.get('plan')}", f"this is plan {plan.digest}")
        hint = "choose another output, or move this folder away"
        raise RecipeError("B001", "the output holds the bundle of another plan", Where(str(out)), hint, notes)
    return True


def _is_complete(partial: Path, plan: Plan) -> bool:
    """Whether a build died between its manifest and its last rename, with every byte in place."""
    found = read_manifest(partial)
    leftovers = frozenset((lease.NAME, journal.NAME))
    return found is not None and found.get("plan") == plan.digest and not check_files(partial, found, leftovers)


def _adopt(partial: Path, plan: Plan) -> None:
    """Makes sure that a partial folder belongs to this plan, and sweeps what a killed build left in it."""
    path = partial / PLAN_NAME
    text = dump_plan(plan).encode()
    if path.exists() and path.read_bytes() != text:
        raise RecipeError(
            "B003", "unfinished work of another plan is in the way", Where(str(partial)),
            "finish that build, or remove the folder",
        )  # fmt: skip
    strays = [p.name for p in partial.iterdir() if p.name not in (lease.NAME, PLAN_NAME) and not p.name.startswith(".")]
    if not path.exists() and strays:
        message = f"the folder holds files that no build of this plan made: {', '.join(sorted(strays)[:5])}"
        raise RecipeError("B003", message, Where(str(partial)), "remove the folder")
    disk.sweep(partial)
    if not path.exists():
        disk.write_file(path, text)


def _check_room(plan: Plan, made: dict[str, bytes], partial: Path, have: frozenset[str]) -> None:
    """Refuses before the first byte when the disk cannot hold what is still to be written."""
    needed = sum(shard.file_bytes for shard in plan.shards if shard.file not in have)
    needed += sum(map(len, made.values())) + _SPARE
    free = disk.free_bytes(partial)
    if free < needed:
        raise RecipeError(
            "B004", f"the build still has to write {human_size(needed)}, the disk has {human_size(free)} free",
            Where(str(partial)), f"make room for {human_size(needed - free)} more, or choose another output",
        )  # fmt: skip


def _commit(partial: Path, plan: Plan, made: dict[str, bytes], entries: dict[str, journal.Entry]) -> None:
    """Side files, then the manifest: from then on the folder is a bundle."""
    files = {entry.file: (entry.size, entry.sha256) for entry in entries.values()}
    for name, content in made.items():
        disk.write_file(partial / name, content)
        files[name] = disk.read_back(partial / name)
    disk.write_file(partial / NAME, manifest_text(plan, files, ENCODER_VERSION).encode())
    (partial / journal.NAME).unlink(missing_ok=True)
    disk.sync_folder(partial)


def _publish(partial: Path, out: Path) -> None:
    if out.exists():
        raise RecipeError("B001", "the output appeared while the build was running", Where(str(out)))
    with disk.named_errors(out, "renaming the finished bundle"):
        os.replace(partial, out)
        disk.sync_folder(out.parent)
