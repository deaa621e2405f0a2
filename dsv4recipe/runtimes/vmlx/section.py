"""Floor 2, runtimes. How vMLX 1.6.81 and jang 2.5.50 rewrite quantization entries from the shapes of tensors. This
module is pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from dsv4recipe.formats.affine.spec import BITS, GROUP_SIZES
from dsv4recipe.headers.safetensors import TensorEntry
from dsv4recipe.runtimes.common.names import PROJECTION_OF
from dsv4recipe.runtimes.common.predicate import DEFAULTS, Entry

_SIZES = (16, 32, 64, 96, 128, 256)


def corrected(entry: Entry, weight: int, scales: int, dtype: str) -> Entry:
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


def vmlx_section(
    section: Mapping[str, Any], tensors: Mapping[str, Mapping[str, TensorEntry]], group_size: int
) -> Mapping[str, Any]:
    """Returns what vMLX makes of the section before it loads: twice over by the shapes on disk, with jang_config's
    group size (64 without) as the global one in between. Entries that it writes have no mode."""
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
    """Yields (stem, bits × group size) of every packed module on disk."""
    for stem, parts in tensors.items():
        weight, scales = parts.get(".weight"), parts.get(".scales")
        if weight is None or weight.dtype != "U32" or scales is None or not scales.shape or not scales.shape[-1]:
            continue
        product, rest = divmod(weight.shape[-1] * 32, scales.shape[-1])
        if not rest:
            yield stem, product


def _uniform(products: Iterable[int]) -> int | None:
    """Returns the one group size that every module could have, if there is one and it is no coincidence."""
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
    """Returns the paths that vMLX knows for a name on disk: none for prestacked experts, compressors' are under
    attn."""
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
