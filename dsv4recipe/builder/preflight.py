"""Floor 4, builder. Checks before the first byte is written: whether the source changed, names, disk space and memory.
Asks the file system."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path

from dsv4recipe.builder import journal, lease
from dsv4recipe.builder.encoders import encoders_of
from dsv4recipe.builder.resumable import kept_bytes
from dsv4recipe.bundle.manifest import PLAN_NAME, manifest_text
from dsv4recipe.bundle.places import NAME
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.errors import Problems, RecipeError, Where
from dsv4recipe.files import disk
from dsv4recipe.headers.safe_path import path_problem
from dsv4recipe.plan.containers import header_of
from dsv4recipe.plan.model import Plan
from dsv4recipe.plan.pieces import piece_rows
from dsv4recipe.units import human_size

_RESERVED = (NAME, journal.NAME, lease.NAME)
_HASH = "0" * 64
_BYTES_PER_WEIGHT = 12
"""Bytes per weight of a piece in work: at most 4 as stored, 4 decoded, 4 encoded."""
_PROGRAM = 400 << 20
"""Bytes for Python, numpy, the compiled encoders, and the headers and plan of the largest release."""
_FOLDER_ROOM = 64 << 10
"""Bytes that a file system needs for the entries of the folder itself."""


def check_names(plan: Plan, made: Iterable[str], out: Path) -> None:
    """Raises RecipeError B007 for names that leave the output, hide each other or are reserved for the build."""
    problems = Problems()
    first: dict[str, str] = {name.casefold(): name for name in _RESERVED}
    for name in (*(shard.file for shard in plan.shards), *made):
        wrong = path_problem(name)
        if name.startswith("."):
            wrong = wrong or "names of hidden files are reserved for the build"
        twin = first.setdefault(name.casefold(), name)
        if twin is not name:
            wrong = wrong or f"on many disks it is the same file as {twin}"
        if wrong:
            problems.error(
                "B007",
                f"the bundle would hold {name!r:.300}: {wrong}",
                Where(str(out)),
                "rename the file in the source folder, or leave it out",
            )
    problems.raise_if_any()


def bytes_to_write(plan: Plan, made: Mapping[str, bytes], have: Mapping[str, journal.Entry]) -> list[int]:
    """Returns the exact sizes of all files that are still to be written, including journal and manifest. The plan's own
    file exists by then."""
    entries = {
        shard.file: have.get(shard.file) or journal.Entry(_HASH, shard.file, shard.file_bytes, _HASH)
        for shard in plan.shards
    }
    files = {name: (entry.size, _HASH) for name, entry in entries.items()}
    files |= {name: (len(content), _HASH) for name, content in made.items()}
    return [
        *(entry.size for name, entry in entries.items() if name not in have),
        *(len(content) for name, content in made.items() if name != PLAN_NAME),
        len(manifest_text(plan, files, encoders_of(plan)).encode()),
        sum(len(entry.line()) + 1 for name, entry in entries.items() if name not in have),
    ]


def check_room(
    plan: Plan,
    made: Mapping[str, bytes],
    partial: Path,
    have: Mapping[str, journal.Entry],
    beside: tuple[Path, int] = (Path(), 0),
) -> None:
    """Raises RecipeError B004 if the disk cannot hold what is still to be written, or the scratch `beside` it (its
    folder and bytes), which may lie on the same disk."""
    sizes = bytes_to_write(plan, made, have)
    kept = sum(kept_bytes(partial, shard.file) for shard in plan.shards if shard.file not in have)
    needed = max(0, disk.room_for(sizes, partial) - kept) + _FOLDER_ROOM
    folder, scratch = beside
    words, choices = f"the build still has to write {human_size(sum(sizes))}", "choose another output"
    if scratch and disk.same_disk(folder, partial):
        needed += scratch
        words += f" and needs {human_size(scratch)} of scratch during that time"
        choices += ", or a smaller --scratch"
    elif scratch and disk.free_bytes(folder) < scratch:
        message = (
            f"the scratch needs {human_size(scratch)}, but its disk has only {human_size(disk.free_bytes(folder))} free"
        )
        raise RecipeError("B004", message, Where(str(folder)), "make room, or choose a smaller --scratch")
    free = disk.free_bytes(partial)
    if free < needed:
        message = f"{words}, but the disk has only {human_size(free)} free"
        raise RecipeError(
            "B004", message, Where(str(partial)), f"make room for {human_size(needed - free)} more, or {choices}"
        )


def memory_needed(plan: Plan, workers: int) -> int:
    """Returns the largest need of memory of a build, in bytes: the program and one piece per worker
    (docs/explanation/reliability.md)."""
    largest = max((piece_rows(m.source, m.format) * prod(m.source.shape[1:]) for m in plan.modules), default=0)
    widest = max((m.source.shape[-1] for m in plan.modules if m.source.shape), default=0)
    return _PROGRAM + workers * _BYTES_PER_WEIGHT * max(largest, widest)


def check_memory(plan: Plan, workers: int) -> None:
    """Raises RecipeError B008 if the machine has less memory than the workers need together."""
    needed, there = memory_needed(plan, workers), _memory()
    if there and needed > there:
        message = f"{workers} workers need up to {human_size(needed)} of memory, but only {human_size(there)} are there"
        raise RecipeError("B008", message, hint="use fewer workers: --workers 1")


def _memory() -> int:
    """Returns the physical memory in bytes, or 0 if the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 0


def check_source(plan: Plan, checkpoint: Checkpoint) -> None:
    """Raises RecipeError B002 if the source differs from the plan: config.json, headers, or the tokenizer if the
    bundle's own header holds it."""
    problems = Problems()
    root = Where(checkpoint.folder.place)
    origin = checkpoint.folder.origin
    repo, commit = plan.source.model, plan.source.revision
    if origin and commit and origin.commit and (origin.repo, origin.commit) != (repo, commit):
        which = (f"the plan is for {repo} at {commit}", f"the source is {origin.repo} at {origin.commit}")
        hint = f"pass --source hf://{repo}@{commit}, or make the plan again"
        problems.error("B002", "the plan was made for another commit", root, hint, which)
    found = [
        ("config.json", plan.source.config_digest, checkpoint.folder.config_digest),
        ("the shard headers", plan.source.header_digest, checkpoint.folder.header_digest),
    ]
    for shard in plan.shards if all(planned == now for _, planned, now in found) else ():
        if shard.header:
            now = hashlib.sha256(header_of(plan, shard, checkpoint)).hexdigest()
            found.append(("tokenizer.json", shard.header, now))
    for what, planned, now in found:
        if planned != now:
            note = (f"the plan has {planned[:16]}, the source has {now[:16]}",)
            problems.error(
                "B002", f"{what} of the source changed since the plan was made", root, "make the plan again", note
            )
    problems.raise_if_any()
