"""Floor 4, builder. Plan + checkpoint → shard tasks, in the plan's order. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from dsv4recipe.builder.shard import ShardTask
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.formats.encode import ENCODER_VERSION
from dsv4recipe.plan.model import Plan, PlannedShard
from dsv4recipe.plan.pieces import shard_pieces
from dsv4recipe.plan.shards import shard_header, shard_modules


def task_digest(plan: Plan, shard: PlannedShard) -> str:
    """sha256 over everything that decides a shard's bytes: plan (with the source's header digest), file, encoders."""
    return hashlib.sha256(f"{plan.digest}\n{shard.file}\n{ENCODER_VERSION}\n".encode()).hexdigest()


def shard_tasks(
    plan: Plan, checkpoint: Checkpoint, skip: frozenset[str] = frozenset(), by_source: bool = False
) -> Iterator[ShardTask]:
    """The tasks of a plan, one at a time, but for the files in `skip`.

    Their pieces are in the order of the shard, which can be read back as it grows, or (`by_source`) in that of the
    source, which can be given up as it is read.
    """
    groups = {group.names: group for group in checkpoint.groups}
    for shard in plan.shards:
        if shard.file in skip:
            continue
        pack = shard_modules(shard, plan.by_disk)
        header = shard_header(pack)
        pieces, constants = shard_pieces(pack, len(header), groups)
        if by_source:
            pieces.sort(key=lambda piece: piece.place)
        yield ShardTask(task_digest(plan, shard), shard.file, shard.file_bytes, header, tuple(constants), tuple(pieces))
