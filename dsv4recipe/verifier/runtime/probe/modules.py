"""Floor 4, verifier (child side). Reads the width and mode of every quantized module of the loaded model."""

from __future__ import annotations

from collections import Counter
from typing import Any

import mlx.core as mx

from .tree import leaf_modules


def quantized_modules(model: Any, shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    """Returns `modules` (path, bits, group_size, mode, and problem, which is "" if there is none) and `kinds` (how many
    there are of each setting).

    `shapes` are the logical weight shapes of the unquantized model. A packed row must hold exactly that many values.
    """
    found = []
    for path, module in leaf_modules(model):
        if "packed" in module:
            entry = {"bits": module.bits, "group_size": 0, "mode": "mxtq"}
            held = module.packed.shape[-1] * (32 // module.bits)
            problem = _width(held, shapes.get(path), module.packed.shape)
        elif "scales" in module:
            entry = {"bits": module.bits, "group_size": module.group_size, "mode": getattr(module, "mode", "affine")}
            problem = _packed_problem(module, entry, shapes.get(path))
        else:
            continue
        found.append({"path": path, **entry, "problem": problem})
    kinds = Counter(f"{m['mode']} {m['bits']}-bit g{m['group_size']}".removesuffix(" g0") for m in found)
    return {"modules": found, "kinds": dict(sorted(kinds.items()))}


def _packed_problem(module: Any, entry: dict[str, Any], shape: tuple[int, ...] | None) -> str:
    weight, scales = module.weight, module.scales
    affine = entry["mode"] == "affine"
    if affine == (scales.dtype == mx.uint8):
        return f"mode {entry['mode']} with scales of {str(scales.dtype).removeprefix('mlx.core.')}"
    if affine != (module.get("biases") is not None):
        return f"mode {entry['mode']} {'without' if affine else 'with'} biases"
    if weight.shape[-1] * 32 % entry["bits"]:
        return f"{weight.shape[-1]} words a row at {entry['bits']} bits"
    held = weight.shape[-1] * 32 // entry["bits"]
    if scales.shape[-1] * entry["group_size"] != held:
        return f"{held} values a row at {entry['bits']} bits, {scales.shape[-1]} scales of {entry['group_size']}"
    return _width(held, shape, weight.shape)


def _width(held: int, shape: tuple[int, ...] | None, stored: tuple[int, ...]) -> str:
    if shape is None or (held == shape[-1] and tuple(stored[:-1]) == tuple(shape[:-1])):
        return ""
    return f"holds {[*stored[:-1], held]}, the model is {list(shape)}"
