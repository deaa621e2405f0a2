"""Floor 1, checkpoint. How many experts the layers hold, against what config.json says. This module is pure.

Pruned models are the usual reason for a difference: every layer alike, each layer for itself, or the layers and not the
MTP stages. Told in one sentence, before a thousand tensors that are missing.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from dsv4recipe.checkpoint.dialects import Entries
from dsv4recipe.checkpoint.dims import Dims
from dsv4recipe.errors import RecipeError, Where

_EXPERT = re.compile(r"(layers|mtp)\.(\d+)\.ffn\.experts\.(\d+)\.w[123]\.weight")


def with_experts(entries: Entries, dims: Dims, file: str) -> Dims:
    """Returns the dimensions with the experts of the MTP stages as they are stored. `file` is config.json in messages.

    Raises RecipeError C025 where the layers hold another number of experts than config.json says, or each its own, and
    C026 where the table of the hash layers has another width than tokens have experts.
    """
    held = _held(entries)
    layers = {number: count for (block, number), count in held.items() if block == "layers"}
    counts = set(layers.values())
    if len(layers) == dims.layers and counts != {dims.experts}:
        raise _differ(layers, dims, file) if len(counts) > 1 else _other(counts.pop(), dims, file)
    _check_table(entries, dims, file)
    stages = {count for (block, _), count in held.items() if block == "mtp"}
    return replace(dims, mtp_experts=stages.pop()) if len(stages) == 1 else dims


def _held(entries: Entries) -> Mapping[tuple[str, int], int]:
    """Returns how many experts a layer or stage holds, where they are numbered without a gap and its router has as many
    rows: a layer of which a part is missing says nothing of pruning."""
    found: dict[tuple[str, int], set[int]] = defaultdict(set)
    for name in entries:
        if ".experts." in name and (match := _EXPERT.fullmatch(name)):
            found[match[1], int(match[2])].add(int(match[3]))
    held = {}
    for (block, number), experts in found.items():
        router = entries.get(f"{block}.{number}.ffn.gate.weight")
        if router is not None and router[1].shape[:1] == (len(experts),) and max(experts) + 1 == len(experts):
            held[block, number] = len(experts)
    return held


def _other(count: int, dims: Dims, file: str) -> RecipeError:
    message = (
        f"config.json says n_routed_experts: {dims.experts}, and every layer holds {count} experts and routes to them"
    )
    return RecipeError("C025", message, Where(file, subject="n_routed_experts"), f"write n_routed_experts: {count}")


def _differ(layers: Mapping[int, int], dims: Dims, file: str) -> RecipeError:
    by_count: dict[int, list[int]] = defaultdict(list)
    for number, count in sorted(layers.items()):
        by_count[count].append(number)
    notes = [f"{count} experts in layers {_ranges(some)}" for count, some in sorted(by_count.items())]
    message = (
        f"the layers hold {min(by_count)} to {max(by_count)} experts, not all alike: config.json has one number for "
        f"all ({dims.experts}), and every runtime builds each layer with it"
    )
    hint = "prune every layer to the same number of experts, or take a release of this model that was pruned so"
    return RecipeError("C025", message, Where(file, subject="n_routed_experts"), hint, notes)


def _check_table(entries: Entries, dims: Dims, file: str) -> None:
    name = next((name for name in entries if name.endswith(".ffn.gate.tid2eid")), "")
    shape = entries[name][1].shape if name else ()
    if len(shape) != 2 or shape[0] != dims.vocab or shape[1] == dims.topk:
        return
    message = (
        f"config.json says num_experts_per_tok: {dims.topk}, and {name} names {shape[1]} experts for each token: every "
        "runtime builds that table with the number of config.json, and would not load this one"
    )
    where = Where(file, subject="num_experts_per_tok")
    raise RecipeError("C026", message, where, f"write num_experts_per_tok: {shape[1]}")


def _ranges(numbers: Sequence[int]) -> str:
    """Returns rising numbers as people write them: "0-2, 7"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
