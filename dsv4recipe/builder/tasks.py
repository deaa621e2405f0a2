"""Floor 4, builder. Turns plan and checkpoint into shard tasks, in the plan's order. This module is pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from dsv4recipe.builder.encoders import encoders_of
from dsv4recipe.builder.shard import ShardTask
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.formats.base import wants_moments
from dsv4recipe.plan.containers import header_of, placed
from dsv4recipe.plan.model import Plan
from dsv4recipe.plan.pieces import shard_pieces
from dsv4recipe.plan.shards import PlacedTensor


def task_digests(plan: Plan) -> dict[str, str]:
    """Returns file → sha256 over everything that decides a shard's bytes: the plan (with the source's header digest),
    the file and the encoders."""
    encoders = encoders_of(plan)
    return {
        shard.file: hashlib.sha256(f"{plan.digest}\n{shard.file}\n{encoders}\n".encode()).hexdigest()
        for shard in plan.shards
    }


def shard_tasks(
    plan: Plan, checkpoint: Checkpoint, skip: frozenset[str] = frozenset(), by_source: bool = False
) -> Iterator[ShardTask]:
    """Yields the tasks of a plan, one at a time, without the files in `skip`.

    Their pieces are in the order of the shard, which can be read back as it grows, or (`by_source`) in that of the
    source, whose downloads can be discarded as they are read. Calibrated shards also use the order of the source,
    because then gate and up of an expert, which share the moments of their inputs, are neighbours.
    """
    groups, digests = {group.names: group for group in checkpoint.groups}, task_digests(plan)
    for shard in plan.shards:
        if shard.file in skip:
            continue
        header = header_of(plan, shard, checkpoint)
        tensors = placed(plan, shard)
        pieces, constants = shard_pieces(tensors, groups)
        constants += _gaps(tensors, len(header), shard.file_bytes)
        if by_source or any(wants_moments(piece.format) for piece in pieces):
            pieces.sort(key=lambda piece: piece.place)
        yield ShardTask(digests[shard.file], shard.file, shard.file_bytes, header, tuple(constants), tuple(pieces))


def _gaps(tensors: Sequence[PlacedTensor], start: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Yields the zeros between tensors, and after the last one, if a container aligns them."""
    for tensor in tensors:
        if tensor.offset > start:
            yield start, bytes(tensor.offset - start)
        start = tensor.offset + tensor.part.nbytes
    if end > start:
        yield start, bytes(end - start)
