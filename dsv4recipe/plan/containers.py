"""Floor 3, plan. How modules lie in files, as one strategy per container: the rest of the house asks only this. Pure.

"safetensors": shards in a folder, each header following from the modules alone. "gguf": one file, whose header also
says what config.json and tokenizer.json say elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.plan.gguf_file import gguf_header, pack_file, place_in_file
from dsv4recipe.plan.model import Plan, PlannedModule, PlannedShard
from dsv4recipe.plan.provenance import claimed
from dsv4recipe.plan.shards import PlacedTensor, pack_shards, place, shard_header, shard_modules
from dsv4recipe.runtimes import Target, get

Modules = Sequence[PlannedModule]
Known = tuple[str, str]
"""Repository and commit that the source is known to be; ("", "") where it is not."""


@dataclass(frozen=True)
class Container:
    """`pack` cuts all modules of a recipe (as data) into files; `header` gives the bytes at the front of a file,
    `place` its tensors with their absolute offsets. `one_file` says that the bundle is a file and not a folder."""

    pack: Callable[[Mapping[str, Any], Known, Modules, int, Checkpoint, Target], tuple[PlannedShard, ...]]
    header: Callable[[Mapping[str, Any], Known, Modules, Checkpoint], bytes]
    place: Callable[[Modules, PlannedShard], Iterator[PlacedTensor]]
    one_file: bool


SAFETENSORS = Container(
    pack=lambda recipe, known, modules, size, checkpoint, target: pack_shards(modules, size),
    header=lambda recipe, known, modules, checkpoint: shard_header(modules),
    place=lambda modules, shard: place(modules, shard.file_bytes - shard.tensor_bytes),
    one_file=False,
)
GGUF = Container(
    pack=lambda recipe, known, modules, size, checkpoint, target: pack_file(recipe, known, modules, checkpoint, target),
    header=gguf_header,
    place=place_in_file,
    one_file=True,
)
CONTAINERS = {"safetensors": SAFETENSORS, "gguf": GGUF}


def container_of(plan: Plan) -> Container:
    """The container of the runtime that a plan is for."""
    return CONTAINERS[get(plan.target["runtime"], plan.source.family).container]


def header_of(plan: Plan, shard: PlannedShard, checkpoint: Checkpoint) -> bytes:
    """The bytes at the front of a file of the plan."""
    return container_of(plan).header(plan.recipe, claimed(plan.source), shard_modules(shard, plan.by_disk), checkpoint)


def placed(plan: Plan, shard: PlannedShard) -> tuple[PlacedTensor, ...]:
    """The tensors of a file of the plan, each at its place, in the file's order."""
    return tuple(container_of(plan).place(shard_modules(shard, plan.by_disk), shard))
