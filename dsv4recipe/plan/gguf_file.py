"""Floor 3, plan. Plans one GGUF file: its key/values, and where in the file each tensor lies, to the byte. Pure.

Tensors are in the order of the modules, each at a multiple of 32 bytes. The header's length follows from the plan and
from the source's config.json and tokenizer.json. Its sha256 is part of the plan, so a changed word is noticed.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.errors import Problems
from dsv4recipe.headers.gguf import Pair, gguf_header_bytes, padded
from dsv4recipe.plan.model import PlannedModule, PlannedShard
from dsv4recipe.plan.shards import PlacedTensor
from dsv4recipe.plan.texts import Texts
from dsv4recipe.runtimes import Target
from dsv4recipe.runtimes.common.chat_template import any_template
from dsv4recipe.runtimes.common.gguf_legality import check_values
from dsv4recipe.runtimes.common.gguf_metadata import architecture_pairs, general_pairs, tokenizer_pairs

SUFFIX = ".gguf"


def gguf_pairs(
    recipe: Mapping[str, Any], origin: tuple[str, str], modules: Sequence[PlannedModule], checkpoint: Checkpoint
) -> tuple[Pair, ...]:
    """Returns the key/values of the file. A file of prediction stages has no tokenizer, because it belongs to a main
    file. `origin` is the repository and commit that the source is known to come from.

    Raises RecipeError T030 and T031 for a config.json or tokenizer.json that lacks what a GGUF needs, T020 and T026
    for a broken file that describes the format of chats.
    """
    stages = _only_stages(modules)
    weights: Counter[str] = Counter()
    for module in modules:
        weights[module.parts[0].dtype] += module.weights
    commonest = max(weights, key=lambda name: (weights[name], name))
    config = checkpoint.config
    tokenizer = () if stages else tokenizer_pairs(checkpoint.folder.document("tokenizer.json"), config)
    chats = () if stages else _chats(checkpoint)
    described = architecture_pairs(config, checkpoint.dims, stages)
    return (*general_pairs(recipe, origin, commonest), *described, *tokenizer, *chats)


def _chats(checkpoint: Checkpoint) -> tuple[Pair, ...]:
    """Returns how a chat becomes a prompt: llama.cpp looks for it in the file, ds4 has it built in."""
    found = any_template(checkpoint.config, Texts(checkpoint.folder, checkpoint.folder.source.tree()))
    return (Pair("tokenizer.chat_template", "str", found),) if found else ()


def gguf_header(
    recipe: Mapping[str, Any], origin: tuple[str, str], modules: Sequence[PlannedModule], checkpoint: Checkpoint
) -> bytes:
    """Returns the file's header, padded."""
    return _header(gguf_pairs(recipe, origin, modules, checkpoint), modules)


def pack_file(
    recipe: Mapping[str, Any],
    origin: tuple[str, str],
    modules: Sequence[PlannedModule],
    checkpoint: Checkpoint,
    target: Target,
) -> tuple[PlannedShard, ...]:
    """Returns the one file of all modules. Raises RecipeError T037 for a model that the engine would refuse."""
    pairs = gguf_pairs(recipe, origin, modules, checkpoint)
    problems = Problems()
    if target.engine is not None:
        values = {pair.key: pair.value for pair in pairs}
        check_values(target, target.engine, values, not _only_stages(modules), problems)
    problems.raise_if_any()
    header = _header(pairs, modules)
    name = f"{recipe['source']['model'].rsplit('/', 1)[-1]}-{recipe['name']}{SUFFIX}"
    payload = sum(padded(module.bytes) for module in modules)
    digest = hashlib.sha256(header).hexdigest()
    disks = tuple(module.disk for module in modules)
    return (PlannedShard(name, disks, sum(module.bytes for module in modules), len(header) + payload, digest),)


def place_in_file(modules: Sequence[PlannedModule], shard: PlannedShard) -> Iterator[PlacedTensor]:
    """Yields every tensor with its absolute offset."""
    offset = shard.file_bytes - sum(padded(module.bytes) for module in modules)
    for module in modules:
        (part,) = module.parts
        yield PlacedTensor(module.disk + part.suffix, module, part, None, offset)
        offset += padded(part.nbytes)


def _only_stages(modules: Sequence[PlannedModule]) -> bool:
    return all(module.block == "mtp" for module in modules)


def _header(pairs: Sequence[Pair], modules: Sequence[PlannedModule]) -> bytes:
    tensors = [(module.disk + part.suffix, part.dtype, part.shape) for module in modules for part in module.parts]
    return gguf_header_bytes(pairs, tensors)
