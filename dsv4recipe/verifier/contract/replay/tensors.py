"""Floor 4, verifier. Lists the tensors of a bundle as a loader gets them: by name, with experts together. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dsv4recipe.bundle.manifest import INDEX_NAME
from dsv4recipe.bundle.view import BundleView
from dsv4recipe.headers.safetensors import TensorEntry
from dsv4recipe.runtimes.common.loader import Given, Stored
from dsv4recipe.runtimes.common.names import PROJECTION_OF, split_name

_SINGLE = re.compile(r"\.experts\.(\d+)\.")
_MATRICES = "|".join((*PROJECTION_OF, *PROJECTION_OF.values()))
_STACK = re.compile(rf"((?:model\.layers|mtp)\.\d+\.(?:ffn|mlp))\.experts\.\{{E\}}\.({_MATRICES})\.(\w+)")


def collapse(tensors: Mapping[str, Mapping[str, TensorEntry]]) -> Given:
    """Returns the bundle's tensors by name, with single experts under one name with `{E}`, which keeps replays
    small."""
    found: Given = {}
    single: dict[str, tuple[str, tuple[int, ...], set[int], bool]] = {}
    for stem, parts in tensors.items():
        hit = _SINGLE.search(stem)
        if hit is None:
            found.update((stem + suffix, Stored(e.dtype, e.shape)) for suffix, e in parts.items())
            continue
        pattern = f"{stem[: hit.start()]}.experts.{{E}}.{stem[hit.end() :]}"
        for suffix, e in parts.items():
            dtype, shape, numbers, alike = single.get(pattern + suffix, (e.dtype, e.shape, set(), True))
            numbers.add(int(hit[1]))
            single[pattern + suffix] = dtype, shape, numbers, alike and (e.dtype, e.shape) == (dtype, shape)
    for name, (dtype, shape, numbers, alike) in single.items():
        found[name] = Stored(dtype, shape, frozenset(numbers), alike)
    return found


def indexed(view: BundleView, disk: Given) -> Given:
    """Returns only the tensors in shards that the index names."""
    weight_map = view.json.get(INDEX_NAME, {}).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        return disk
    files = set(weight_map.values())
    if files >= {header.file for header in view.shards}:
        return disk
    kept = {header.file for header in view.shards} & files
    tensors: dict[str, dict[str, Any]] = {}
    for header in view.shards:
        for entry in header.tensors if header.file in kept else ():
            stem, suffix = split_name(entry.name)
            tensors.setdefault(stem, {})[suffix] = entry
    return collapse(tensors)


def stack(given: Given, suffixes: tuple[str, ...], experts: int) -> tuple[Given, str]:
    """Stacks single experts of the `suffixes` under `switch_mlp`. Also returns why that would fail, or ""."""
    found: Given = {}
    problem = ""
    for name, tensor in given.items():
        hit = _STACK.fullmatch(name)
        numbers = tensor.experts
        if hit is None or hit[3] not in suffixes or numbers is None or 0 not in numbers:
            found[name] = tensor
            continue
        projection = PROJECTION_OF.get(hit[2], hit[2])
        lost = sorted(set(range(experts)) - numbers)
        if lost:
            problem = problem or f"KeyError: {name.replace('{E}', str(lost[0]))} (an expert is missing)"
        elif not tensor.alike:
            problem = problem or f"{name}: its experts have different shapes and cannot be stacked"
        found[f"{hit[1]}.switch_mlp.{projection}.{hit[3]}"] = Stored(tensor.dtype, (experts, *tensor.shape))
    return found, problem
