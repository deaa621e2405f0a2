"""Floor 3, plan. Lays modules out in files, with one strategy per container. Every other module asks only this one. It
is pure.

"safetensors" means shards in a folder, where each header follows from the modules alone. "gguf" means one file, whose
header also holds what config.json and tokenizer.json hold elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.errors import Diagnostic
from dsv4recipe.plan.companions import check_companions
from dsv4recipe.plan.gguf_file import gguf_header, pack_file, place_in_file
from dsv4recipe.plan.gguf_judged import backends, engine_facts, slower_backends
from dsv4recipe.plan.model import Plan, PlannedModule, PlannedShard
from dsv4recipe.plan.provenance import claimed
from dsv4recipe.plan.shards import PlacedTensor, pack_shards, place, shard_header, shard_modules
from dsv4recipe.recipe.model import Recipe
from dsv4recipe.runtimes import Target, get
from dsv4recipe.units import parse_size

Modules = Sequence[PlannedModule]
Known = tuple[str, str]
"""The repository and commit that the source is known to come from; ("", "") if unknown."""


_SIZES = ("5GiB", "5GB", "1GB", "1GiB", "2GB", "2GiB", "4GB", "4GiB", "8GB", "8GiB", "10GB", "10GiB", "20GB", "50GB")


@dataclass(frozen=True)
class Container:
    """Describes one container by its functions.

    `pack` divides all modules of a recipe (as data) into files. `header` returns the bytes at the front of a file,
    `place` its tensors with their absolute offsets. `facts` returns what the plan's target section says beside the
    recipe's own words. `cautions` yields warnings about valid plans. `shard_size` and `backends` return what a recipe
    must say to be divided and judged as a given plan is. `companions` refuses a source that lacks what the side files
    need.
    """

    name: str
    pack: Callable[[Mapping[str, Any], Known, Modules, int, Checkpoint, Target], tuple[PlannedShard, ...]]
    header: Callable[[Mapping[str, Any], Known, Modules, Checkpoint], bytes]
    place: Callable[[Modules, PlannedShard], Iterator[PlacedTensor]]
    facts: Callable[[Target, Recipe], Mapping[str, Any]]
    cautions: Callable[[Plan], Iterable[Diagnostic]]
    shard_size: Callable[[Plan], int]
    backends: Callable[[Plan], tuple[str, ...]]
    companions: Callable[[Plan, Checkpoint], None]


def _shard_size(plan: Plan) -> int:
    """Returns the shard size that the plan states. For another tool's bundle it returns the first usual size that gives
    the same shards, or else the same number of shards; otherwise 5GiB."""
    if plan.target.get("shard_size"):
        return int(plan.target["shard_size"])
    wanted = [shard.tensor_bytes for shard in plan.shards]
    cuts = {size: [s.tensor_bytes for s in pack_shards(plan.modules, size)] for size in map(parse_size, _SIZES)}
    alike = [size for size, cut in cuts.items() if cut == wanted]
    return next(iter(alike or [size for size, cut in cuts.items() if len(cut) == len(wanted)]), parse_size("5GiB"))


SAFETENSORS = Container(
    name="safetensors",
    pack=lambda recipe, known, modules, size, checkpoint, target: pack_shards(modules, size),
    header=lambda recipe, known, modules, checkpoint: shard_header(modules),
    place=lambda modules, shard: place(modules, shard.file_bytes - shard.tensor_bytes),
    facts=lambda target, recipe: {},
    cautions=lambda plan: (),
    shard_size=_shard_size,
    backends=lambda plan: (),
    companions=check_companions,
)
GGUF = Container(
    name="gguf",
    pack=lambda recipe, known, modules, size, checkpoint, target: pack_file(recipe, known, modules, checkpoint, target),
    header=gguf_header,
    place=place_in_file,
    facts=engine_facts,
    cautions=slower_backends,
    shard_size=lambda plan: 0,
    backends=backends,
    companions=lambda plan, checkpoint: None,
)
CONTAINERS = {container.name: container for container in (SAFETENSORS, GGUF)}


def container_of(plan: Plan) -> Container:
    """Returns the container of the runtime that a plan is for."""
    return CONTAINERS[get(plan.target["runtime"], plan.source.family).container]


def header_of(plan: Plan, shard: PlannedShard, checkpoint: Checkpoint) -> bytes:
    """Returns the bytes at the front of a file of the plan."""
    return container_of(plan).header(plan.recipe, claimed(plan.source), shard_modules(shard, plan.by_disk), checkpoint)


def placed(plan: Plan, shard: PlannedShard) -> tuple[PlacedTensor, ...]:
    """Returns the tensors of a file of the plan, each at its place, in the file's order."""
    return tuple(container_of(plan).place(shard_modules(shard, plan.by_disk), shard))
