"""Floor 3, plan. Decides which shard holds which module, and where in the file each tensor lies, to the byte. Pure.

A module is never divided: a stack, or the experts of one projection, lies in one shard. Inside a shard, tensors are
sorted by falling item size, so every tensor is aligned to its item size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dsv4recipe.formats import Part
from dsv4recipe.formats.base import ITEM_SIZE
from dsv4recipe.headers.safetensors import header_bytes
from dsv4recipe.plan.model import PlannedModule, PlannedShard

METADATA = {"format": "mlx"}


@dataclass(frozen=True, slots=True)
class PlacedTensor:
    """A stored tensor with its absolute byte offset in its shard. `expert` is None for whole stacks."""

    name: str
    module: PlannedModule
    part: Part
    expert: int | None
    offset: int


def pack_shards(modules: Sequence[PlannedModule], shard_size: int) -> tuple[PlannedShard, ...]:
    """Packs modules greedily, in order. A shard is closed before the module that would make it larger than
    `shard_size`; 0 means one shard."""
    packs: list[list[PlannedModule]] = []
    filled = 0
    for module in modules:
        if not packs or (shard_size and filled and filled + module.bytes > shard_size):
            packs.append([])
            filled = 0
        packs[-1].append(module)
        filled += module.bytes
    total = len(packs)
    return tuple(_shard(pack, f"model-{number:05d}-of-{total:05d}.safetensors") for number, pack in enumerate(packs, 1))


def _shard(pack: Sequence[PlannedModule], file: str) -> PlannedShard:
    payload = sum(module.bytes for module in pack)
    return PlannedShard(file, tuple(module.disk for module in pack), payload, len(shard_header(pack)) + payload)


def stored_tensors(pack: Sequence[PlannedModule]) -> Iterator[tuple[str, PlannedModule, Part, int | None]]:
    """Returns (name, module, part, expert) of every stored tensor of a shard, in file order."""
    rows = [
        (name + part.suffix, module, part, expert if module.per_expert else None)
        for module in pack
        for expert, name in enumerate(module.stems)
        for part in module.parts
    ]
    return iter(sorted(rows, key=lambda row: -ITEM_SIZE[row[2].dtype]))


def shard_header(pack: Sequence[PlannedModule]) -> bytes:
    """Returns the bytes of the shard's safetensors header."""
    return header_bytes(((name, part.dtype, part.shape) for name, _, part, _ in stored_tensors(pack)), METADATA)


def place(pack: Sequence[PlannedModule], header_size: int) -> Iterator[PlacedTensor]:
    """Yields every stored tensor of a shard with its absolute offset."""
    offset = header_size
    for name, module, part, expert in stored_tensors(pack):
        yield PlacedTensor(name, module, part, expert, offset)
        offset += part.nbytes


def shard_modules(shard: PlannedShard, by_disk: Mapping[str, PlannedModule]) -> list[PlannedModule]:
    return [by_disk[disk] for disk in shard.modules]
