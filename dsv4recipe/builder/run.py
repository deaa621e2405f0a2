"""Floor 4, builder. `build`: a plan and its checkpoint → a finished bundle, or nothing under its name.

The story: what is at OUT? → does the source still match the plan? → is there room? → shards → side files → manifest →
the folder gets its name. Every state an interrupted build can leave is continued or refused, never mixed in.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dsv4recipe.builder import journal, lease
from dsv4recipe.builder.books import Books
from dsv4recipe.builder.encoders import check_encoders, encoders_of
from dsv4recipe.builder.engine import Work
from dsv4recipe.builder.found import adopt, is_complete, is_finished
from dsv4recipe.builder.interrupt import interruptible
from dsv4recipe.builder.lease import Lease
from dsv4recipe.builder.options import BuildOptions
from dsv4recipe.builder.pace import measure
from dsv4recipe.builder.preflight import check_memory, check_names, check_room, check_source, memory_needed
from dsv4recipe.builder.publish import check_name, publish_file, publish_folder, tidy
from dsv4recipe.builder.resumable import ResumableShard, proven_bytes
from dsv4recipe.builder.shard import OpenShard, ShardTask
from dsv4recipe.builder.side import side_files
from dsv4recipe.builder.tasks import shard_tasks, task_digest
from dsv4recipe.bundle.manifest import NAME, PLAN_NAME, manifest_text
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.files import disk
from dsv4recipe.files.atomic import write_file
from dsv4recipe.files.readback import hash_of
from dsv4recipe.files.streamed import open_sources
from dsv4recipe.formats.kernels.jit import compiling
from dsv4recipe.hub.scratch import Scratch, scratch_for
from dsv4recipe.paths import as_path
from dsv4recipe.plan.containers import container_of
from dsv4recipe.plan.model import Plan
from dsv4recipe.plan.pieces import Piece
from dsv4recipe.plan.weighed import check_same_importance

Event = dict[str, Any]


def build(plan: Plan, checkpoint: Checkpoint, out: str | Path, options: BuildOptions | None = None) -> Path:
    """Builds the bundle of a plan at `out` and returns its path. Run again, it continues; finished, it does nothing.

    Raises RecipeError (B0xx, F00x, H0xx, I020). KeyboardInterrupt, which SIGTERM raises too, leaves a folder that the
    next build continues, with either engine.
    """
    asked = options or BuildOptions()
    on_event = asked.on_event
    out = as_path(out)
    one_file = container_of(plan).one_file
    check_name(out, one_file)
    partial = out.with_name(out.name + ".partial")
    if is_finished(out, plan):
        if one_file and partial.is_dir():
            with lease.held(partial) as mine:
                tidy(partial, plan.shards[0].file, mine)
        on_event({"event": "done", "out": str(out), "already": True, "bytes": plan.tensor_bytes})
        return out
    check_encoders(plan)
    check_source(plan, checkpoint)
    check_same_importance(plan, asked.importance)
    made = side_files(plan, checkpoint)
    check_names(plan, made, out)
    check_memory(plan, asked.threads)
    disk.make_folder(partial)
    told = compiling(lambda: on_event({"event": "compiling"}))
    with interruptible(), told, lease.held(partial) as mine:
        already = is_finished(out, plan)  # another builder may have finished while this one came here
        if already:
            mine.release()
            with contextlib.suppress(OSError):
                partial.rmdir()
        else:
            adopt(partial, plan, made[PLAN_NAME])
            if not is_complete(partial, plan):
                room = scratch_for(out, asked.scratch, asked.scratch_dir)
                _write(plan, checkpoint, partial, made, asked, room, mine)
            mine.check()
            if one_file:
                publish_file(partial, out, plan.shards[0].file, mine, lambda: is_finished(out, plan))
            else:
                publish_folder(partial, out, mine, lambda: is_finished(out, plan))
    on_event({"event": "done", "out": str(out), "already": already, "bytes": plan.tensor_bytes})
    return out


def _write(
    plan: Plan,
    checkpoint: Checkpoint,
    partial: Path,
    made: dict[str, bytes],
    asked: BuildOptions,
    scratch: Scratch,
    mine: Lease,
) -> None:
    """Writes every shard that the journal does not hold yet, then the commit."""
    on_event = _in_turn(asked.on_event)
    entries = journal.finished(partial, {shard.file: task_digest(plan, shard) for shard in plan.shards})
    with disk.named_errors(partial, "removing unfinished shards"):
        for shard in plan.shards:
            if shard.file not in entries:
                disk.remove(partial / shard.file)
    finished = frozenset(entries)

    def tasks(by_source: bool) -> Iterator[ShardTask]:
        return shard_tasks(plan, checkpoint, finished, by_source)

    one_file, proven = container_of(plan).one_file, dict[str, int]()

    def unread(by_source: bool) -> Iterator[Piece]:
        for task in tasks(by_source):
            if one_file and task.file not in proven:
                proven[task.file] = proven_bytes(partial, task)
            yield from (piece for piece in task.pieces if piece.offsets[0] >= proven.get(task.file, 0))

    sources = open_sources(
        checkpoint.folder.source,
        unread,
        scratch,
        asked.source_sha256,
        downloaded=lambda file, size: on_event({"event": "downloaded", "file": file, "bytes": size}),
        in_order=one_file,
    )
    check_room(plan, made, partial, entries, (scratch.folder, sources.room))
    total = sum(shard.file_bytes for shard in plan.shards)
    pace = measure(plan, asked.threads)
    on_event(
        {
            "event": "plan_loaded",
            "plan": plan.digest,
            "shards": len(plan.shards),
            "bytes": total,
            "work": pace.total if pace else total,
            "memory": memory_needed(plan, asked.threads),
            "seconds": pace.expected if pace else None,
            "slowest": pace.slowest if pace else "",
            **sources.facts,
        }
    )
    if entries:
        kept = sum(entry.size for entry in entries.values())
        on_event({"event": "resumed", "shards": len(entries), "bytes": kept, "work": kept})

    opened = ResumableShard if one_file else OpenShard
    with sources:
        work = Work(tasks(sources.by_source), partial, sources, asked.importance, asked.threads, opened)
        asked.engine(work, Books(partial, mine, entries, pace, on_event))
        sources.check_unchanged()
    mine.check()
    _commit(partial, plan, made, entries)


def _in_turn(on_event: Callable[[Event], None]) -> Callable[[Event], None]:
    """The same for many threads: downloads and shards tell of themselves at any time."""
    turn = threading.Lock()

    def tell(event: Event) -> None:
        with turn:
            on_event(event)

    return tell


def _commit(partial: Path, plan: Plan, made: dict[str, bytes], entries: dict[str, journal.Entry]) -> None:
    """Side files (the plan is there already), then the manifest: from then on the folder is a bundle."""
    files = {entry.file: (entry.size, entry.sha256) for entry in entries.values()}
    for name, content in made.items() if not container_of(plan).one_file else ():
        path = partial / name
        files[name] = hash_of(path) if name == PLAN_NAME else write_file(path, content)
    write_file(partial / NAME, manifest_text(plan, files, encoders_of(plan)).encode())
