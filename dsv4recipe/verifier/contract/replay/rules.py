"""Floor 4, verifier. The class predicates: how a loader decides bits, group size and mode of a module. Pure.

Source: fact sheets mlx.md 1.2 (mlx-lm 0.31.3 and 0.32.2, mlx-vlm 0.7.10) and vmlx.md 6.4 (jang, vMLX).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from dsv4recipe.formats.affine.spec import BITS, GROUP_SIZES
from dsv4recipe.headers.safetensors import TensorEntry
from dsv4recipe.runtimes.common.names import PROJECTION_OF
from dsv4recipe.verifier.contract.replay.model import Entry, Given, Linear

DEFAULTS = {"affine": (64, 4), "mxfp4": (32, 4), "nvfp4": (16, 4), "mxfp8": (32, 8)}
"""(group size, bits) where an entry does not say them, by mode."""
_MODE_OF = {(4, 16): "nvfp4", (4, 32): "mxfp4", (8, 32): "mxfp8"}
_SIZES = (16, 32, 64, 96, 128, 256)


def whole(entry: Entry) -> dict[str, Any]:
    """The entry with what `to_quantized` takes for what it does not say."""
    mode = entry.get("mode", "affine")
    group, bits = DEFAULTS.get(mode, (None, None)) if isinstance(mode, str) else (None, None)
    return {"group_size": entry.get("group_size") or group, "bits": entry.get("bits") or bits, "mode": mode}


def unmakeable(module: Linear, entry: Entry) -> str:
    """Why MLX cannot make the module with this entry; "" if it can."""
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
    """mlx-lm 0.31, mlx-vlm: the entry under the first key that has one, else the global one where there are scales."""
    for key in module.lookups:
        if key in section and not _top(section[key], key):
            return _entry(section[key], section)
    return whole(section) if f"{module.path}.scales" in given else None


def else_inferred(module: Linear, section: Mapping[str, Any], given: Given) -> Entry | None:
    """mlx-lm 0.32: the entry, else what the shapes say."""
    for key in module.lookups:
        if key in section and not _top(section[key], key):
            return _entry(section[key], section)
    scales, weight = given.get(f"{module.path}.scales"), given.get(f"{module.path}.weight")
    if scales is None:
        return None
    if weight is None or not scales.shape or not weight.shape or not scales.shape[-1]:
        return {"problem": f"KeyError: {module.path}.weight"}
    group, bits = module.width // scales.shape[-1], weight.shape[-1] * 32 // module.width
    mode = "affine" if scales.dtype != "U8" else _MODE_OF.get((bits, group), "of no known mode")
    return {"group_size": group, "bits": bits, "mode": mode}


def _top(value: Any, key: str) -> bool:
    return key in ("bits", "group_size", "mode") or not isinstance(value, (dict, bool))


def _entry(value: Any, section: Mapping[str, Any]) -> Entry | None:
    if isinstance(value, dict):
        return whole(value) if value else None
    return whole(section) if value else None


def mended(entry: Entry, weight: int, scales: int, dtype: str) -> Entry:
    """jang's `_fix_quantized_bits`: from the columns of weight and scales; the group size asked for is tried first."""
    if dtype == "U8":
        mode = {8: "mxfp4", 4: "mxfp8"}.get(scales * 32 // weight if weight and scales * 32 % weight == 0 else 0)
        return entry if mode is None else {"group_size": 32, "bits": DEFAULTS[mode][1], "mode": mode}
    for group in (entry["group_size"], 64, 128):
        if (
            type(group) is int
            and scales
            and weight * 32 % (scales * group) == 0
            and weight * 32 // (scales * group) in BITS
        ):
            return {"group_size": group, "bits": weight * 32 // (scales * group), "mode": entry["mode"]}
    return entry


def rapid_section(section: Mapping[str, Any]) -> Mapping[str, Any]:
    """Rapid-MLX rewrites keys of the source's style before mlx-lm looks at them; the later of two wins."""
    found: dict[str, Any] = {}
    for key, value in section.items():
        name = (
            f"model.{key}"
            if key.startswith("layers.")
            else {"embed": "model.embed_tokens", "head": "lm_head"}.get(key, key)
        )
        for short, long in PROJECTION_OF.items():
            name = name.replace(f".ffn.shared_experts.{short}", f".ffn.shared_experts.{long}")
        found[name] = value
    return found


def vmlx_section(
    section: Mapping[str, Any], tensors: Mapping[str, Mapping[str, TensorEntry]], group_size: int
) -> Mapping[str, Any]:
    """What vMLX makes of the section before it loads: twice over by the shapes on disk, with jang_config's group size
    (64 without) as the global one in between. Entries that it writes have no mode."""
    products = dict(_products(tensors))
    return _repaired({**_repaired(section, products), "group_size": group_size}, products)


def _repaired(section: Mapping[str, Any], products: Mapping[str, int]) -> dict[str, Any]:
    pinned = _uniform(products.values())
    found = dict(section)
    patched: dict[str, tuple[int, int]] = {}
    top = _pair(section)
    for stem, product in products.items():
        fits = [(bits, product // bits) for bits in BITS if product % bits == 0 and product // bits in GROUP_SIZES]
        if not fits:
            continue
        claim = _pair(section.get(stem)) or top
        taken = claim if claim in fits else _guess(fits, stem, pinned)
        if taken != claim:
            patched[stem] = taken
        for alias in _aliases(stem):
            if (_pair(section.get(alias)) or top) != taken:
                patched[alias] = taken
    for key, (bits, group) in patched.items():
        found[key] = {"bits": bits, "group_size": group}
        if key.startswith("model."):
            found.setdefault(key.removeprefix("model."), dict(found[key]))
    return found


def _products(tensors: Mapping[str, Mapping[str, TensorEntry]]) -> Iterable[tuple[str, int]]:
    """(stem, bits × group size) of every packed module on disk."""
    for stem, parts in tensors.items():
        weight, scales = parts.get(".weight"), parts.get(".scales")
        if weight is None or weight.dtype != "U32" or scales is None or not scales.shape or not scales.shape[-1]:
            continue
        product, rest = divmod(weight.shape[-1] * 32, scales.shape[-1])
        if not rest:
            yield stem, product


def _uniform(products: Iterable[int]) -> int | None:
    """The one group size that every module could have, if there is one and it is no coincidence."""
    distinct = set(products)
    sets = [{g for g in _SIZES if p % g == 0 and p // g in BITS} for p in distinct]
    common = set.intersection(*sets) if sets else set()
    return next(iter(common)) if len(distinct) > 1 and len(common) == 1 else None


def _guess(fits: list[tuple[int, int]], stem: str, pinned: int | None) -> tuple[int, int]:
    for bits, group in fits:
        if group == pinned:
            return bits, group
    routed = re.search(r"\.experts\.\d+\.|\.switch_mlp\.", f"{stem}.") is not None and ".shared_experts." not in stem
    return min(fits) if routed else max(fits)


def _pair(entry: Any) -> tuple[int, int] | None:
    if not isinstance(entry, Mapping):
        return None
    bits, group = entry.get("bits"), entry.get("group_size")
    return (bits, group) if isinstance(bits, int) and isinstance(group, int) else None


def _aliases(stem: str) -> tuple[str, ...]:
    """The paths that vMLX knows for a name on disk: none for prestacked experts, compressors' are under attn."""
    if stem in ("embed", "head"):
        return ({"embed": "model.embed", "head": "lm_head"}[stem],)
    hit = re.fullmatch(r"layers\.(\d+)\.(attn\..+|ffn\.shared_experts\.w[123]|ffn\.experts\.\d+\.w[123])", stem)
    if hit is None:
        return ()
    head, rest = f"model.layers.{hit[1]}", hit[2]
    if rest.startswith("attn."):
        return (f"{head}.self_attn.{rest.removeprefix('attn.')}",)
    inner = "shared_experts" if "shared" in rest else "switch_mlp"
    return (f"{head}.mlp.{inner}.{PROJECTION_OF[rest[-2:]]}",)
