"""Floor 2, runtimes. The class predicates of MLX loaders: how a module is wrapped, and whether MLX can do that. This
module is pure.

Read from mlx-lm 0.31.3 and 0.32.2 and from mlx-vlm 0.7.10.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsv4recipe.formats.affine.spec import BITS, GROUP_SIZES
from dsv4recipe.runtimes.common.loader import Given, Linear
from dsv4recipe.runtimes.common.predicate import DEFAULTS, MODES, Entry, own_entry, whole


def unmakeable(module: Linear, entry: Entry) -> str:
    """Returns why MLX cannot make the module with this entry; "" if it can."""
    if "problem" in entry:
        return str(entry["problem"])
    bits, group, mode = entry["bits"], entry["group_size"], entry["mode"]
    if mode not in DEFAULTS or type(bits) is not int or type(group) is not int:
        return f"bits {bits!r}, group_size {group!r}, mode {mode!r} are no quantization"
    legal = bits in BITS and group in GROUP_SIZES if mode == "affine" else (group, bits) == DEFAULTS[mode]
    if not legal or module.width % group:
        return f"no {mode} of {bits} bits in groups of {group} over {module.width} inputs"
    return ""


def else_global(module: Linear, section: Mapping[str, Any], given: Given) -> Entry | None:
    """mlx-lm 0.31, mlx-vlm: the module's own entry; without one, the global entry if the module has scales."""
    found, entry = own_entry(section, module.lookups)
    if found:
        return entry
    return whole(section) if f"{module.path}.scales" in given else None


def else_inferred(module: Linear, section: Mapping[str, Any], given: Given) -> Entry | None:
    """mlx-lm 0.32: the module's own entry; without one, what the shapes of its tensors say."""
    found, entry = own_entry(section, module.lookups)
    if found:
        return entry
    scales, weight = given.get(f"{module.path}.scales"), given.get(f"{module.path}.weight")
    if scales is None:
        return None
    if weight is None or not scales.shape or not weight.shape or not scales.shape[-1]:
        return {"problem": f"KeyError: {module.path}.weight"}
    group, bits = module.width // scales.shape[-1], weight.shape[-1] * 32 // module.width
    mode = "affine" if scales.dtype != "U8" else MODES.get((bits, group), "of no known mode")
    return {"group_size": group, "bits": bits, "mode": mode}
