"""Floor 4, builder. `build` turns a plan and its checkpoint into a finished bundle, or leaves nothing under its name.

The steps: check what is at OUT, check that the source still matches the plan, check the free space, write shards, side
files and manifest, and give the folder its name. Every state that an interrupted build can leave is continued or
refused.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dsv4recipe.builder import journal
from dsv4recipe.builder.books import Books
from dsv4recipe.builder.encoders import check_encoders, encoders_of
from dsv4recipe.builder.engine import Work
from dsv4recipe.builder.events import Compiled, Compiling, Done, Downloaded, PlanLoaded, Resumed, ZerosFound
from dsv4recipe.builder.interrupt import interruptible
from dsv4recipe.builder.lease import Lease
from dsv4recipe.builder.options import BuildOptions
from dsv4recipe.builder.pace import measure
from dsv4recipe.builder.preflight import check_memory, check_names, check_room, check_source, memory_needed
from dsv4recipe.builder.shard import ShardTask
from dsv4recipe.builder.tasks import shard_tasks, task_digests
from dsv4recipe.builder.work_folder import WorkFolder
from dsv4recipe.bundle.manifest import PLAN_NAME, manifest_text
from dsv4recipe.bundle.places import NAME
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.errors import RecipeError
from dsv4recipe.files.atomic import write_file
from dsv4recipe.files.readback import hash_of
from dsv4recipe.files.streamed import open_sources
from dsv4recipe.formats.kernels.jit import compiling
from dsv4recipe.hub.scratch import scratch_for
from dsv4recipe.paths import as_path
from dsv4recipe.plan.model import Plan
from dsv4recipe.plan.pieces import Piece
from dsv4recipe.plan.weighed import check_same_importance

Event = dict[str, Any]


def build(plan: Plan, checkpoint: Checkpoint, out: str | Path, options: BuildOptions | None = None) -> Path:
    """Builds the bundle of a plan at `out` and returns its path. Run again, it continues; if finished, it does nothing.

    Raises RecipeError (B0xx, F00x, H0xx, I020). KeyboardInterrupt, which SIGTERM also raises, leaves a folder that the
    next build continues, with either engine.
    """
    asked = options or BuildOptions()
    on_event = asked.on_event
    work = WorkFolder(as_path(out), plan)
    work.check_name()
    if work.finished():
        work.check_evidence(work.out, asked.evidence)
        work.tidy()
        on_event(Done(out=str(work.out), already=True, bytes=plan.tensor_bytes).data())
        return work.out
    check_encoders(plan)
    check_source(plan, checkpoint)
    check_same_importance(plan, asked.importance)
    made = work.making.side_files(plan, checkpoint, asked.quality)
    check_names(plan, made, work.out)
    check_memory(plan, asked.threads)
    told = compiling(lambda: on_event(Compiling().data()), lambda: on_event(Compiled().data()))
    with interruptible(), told, work.cleared(), work.held() as mine:
        already = work.finished()  # another builder may have finished in the meantime
        if already:
            work.leave(mine)
        else:
            work.adopt(made[PLAN_NAME])
            if work.complete():
                work.check_evidence(work.path, asked.evidence)
            else:
                _write(work, checkpoint, made, asked, mine)
            work.publish(mine)
    on_event(Done(out=str(work.out), already=already, bytes=plan.tensor_bytes).data())
    return work.out


def _write(work: WorkFolder, checkpoint: Checkpoint, made: dict[str, bytes], asked: BuildOptions, mine: Lease) -> None:
    """Writes every shard that is not in the journal yet, then commits."""
    plan, partial, making = work.plan, work.path, work.making
    scratch = scratch_for(work.out, asked.scratch, asked.scratch_dir)
    on_event = _in_turn(asked.on_event)
    entries = journal.finished(partial, task_digests(plan))
    work.remove_all_but(entries)
    finished = frozenset(entries)

    def tasks(by_source: bool) -> Iterator[ShardTask]:
        return shard_tasks(plan, checkpoint, finished, by_source)

    proven = dict[str, int]()

    def unread(by_source: bool) -> Iterator[Piece]:
        for task in tasks(by_source):
            if task.file not in proven:
                proven[task.file] = making.proven(partial, task)
            yield from (piece for piece in task.pieces if piece.offsets[0] >= proven[task.file])

    sources = open_sources(
        checkpoint.folder.source,
        unread,
        scratch,
        asked.source_sha256,
        downloaded=lambda file, size: on_event(Downloaded(file=file, bytes=size).data()),
        in_order=making.in_order,
    )
    try:
        check_room(plan, made, partial, entries, (scratch.folder, sources.room))
    except RecipeError:
        work.give_up()
        raise
    total = sum(shard.file_bytes for shard in plan.shards)
    pace = measure(plan, asked.threads)
    on_event(
        PlanLoaded(
            plan=plan.digest,
            shards=len(plan.shards),
            bytes=total,
            work=pace.total if pace else total,
            memory=memory_needed(plan, asked.threads),
            seconds=pace.expected if pace else None,
            slowest=pace.slowest if pace else "",
            download=sources.facts.get("download"),
        ).data()
    )
    if entries:
        kept = sum(entry.size for entry in entries.values())
        on_event(Resumed(shards=len(entries), bytes=kept, work=kept).data())

    with sources:
        shards = tasks(sources.by_source)
        to_do = Work(shards, partial, sources, asked.importance, asked.threads, making.opened, making.in_order,
                     asked.allow_zeros)  # fmt: skip
        asked.engine(to_do, Books(partial, mine, entries, pace, on_event))
        sources.check_unchanged()
    zeros = {tensor: counts for entry in entries.values() for tensor, counts in entry.zeros.items()}
    if zeros:
        file_of = {tensor.name: tensor.file for tensor in checkpoint.tensors}
        rows = {name: {"file": file_of.get(name, ""), "zero": zero, "of": of} for name, (zero, of) in zeros.items()}
        on_event(ZerosFound(tensors=rows).data())
    mine.check()
    _commit(work, made, entries, asked.evidence)


def _in_turn(on_event: Callable[[Event], None]) -> Callable[[Event], None]:
    """Returns a thread-safe version, because downloads and shards report at any time."""
    turn = threading.Lock()

    def tell(event: Event) -> None:
        with turn:
            on_event(event)

    return tell


def _commit(
    work: WorkFolder, made: dict[str, bytes], entries: dict[str, journal.Entry], evidence: Mapping[str, Any] | None
) -> None:
    """Writes the side files (the plan is already there), then the manifest, which makes the work a bundle."""
    files = {entry.file: (entry.size, entry.sha256) for entry in entries.values()}
    for name, content in made.items():
        path = work.path / name
        if name != PLAN_NAME:
            files[name] = write_file(path, content)
        elif not work.making.places.plan_inside:
            files[name] = hash_of(path)
    write_file(work.path / NAME, manifest_text(work.plan, files, encoders_of(work.plan), evidence).encode())
