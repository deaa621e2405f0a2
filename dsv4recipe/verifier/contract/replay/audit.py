"""Floor 4, verifier. What a loader looks at before it loads: the shards it reads, and what it refuses. Pure but for
looking whether vMLX's encoder is there."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from dsv4recipe.bundle.manifest import INDEX_NAME
from dsv4recipe.bundle.view import BundleView, split_name
from dsv4recipe.verifier.contract.replay import sanitize
from dsv4recipe.verifier.contract.replay.model import Given, Loader

_CONTROL = re.compile(
    r"hc_head_(fn|base|scale)|layers\.\d+\.(hc_(attn|ffn)_(fn|base|scale)|attn\.attn_sink|ffn\.gate\.bias)"
)
_PACKED = re.compile(r"layers\.(\d+)\.(?:mlp\.switch_mlp\.\w+_proj|ffn\.experts\.\{E\}\.w[123])\.tq_packed")
_JANG_FORMATS = {"affine", "jang_affine", "mxtq", "mxfp4", "mxfp8"}
_PROJECTIONS = 3
_JANG_KINDS = {"jang", "jang-v2", "jjqf", "mxq", "jangtq", "jangtq2"}


def indexed(view: BundleView, disk: Given) -> Given:
    """Only what lies in a shard that the index names."""
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
    return sanitize.collapse(tensors)


def audit(loader: Loader, view: BundleView, disk: Given) -> Iterator[str]:
    """What the loader looks at before it loads, and refuses."""
    if "float16" in loader.audits:
        halves = [name for name, tensor in disk.items() if tensor.dtype == "F16" and not name.endswith(".tq_norms")]
        if halves:
            yield f"float16 tensors ({len(halves):,}, first {halves[0]}): known to collapse to repeated BOS tokens"
    if "marked" in loader.audits and not _marked(view.json.get("jang_config.json", {})):
        yield "unmarked"
    if "encoder" in loader.audits and not (view.root / "encoding" / "encoding_dsv4.py").is_file():
        yield "encoding/encoding_dsv4.py is missing"
    if "whole" in loader.audits:
        layers = Counter(hit[1] for hit in map(_PACKED.fullmatch, disk) if hit)
        if layers and max(layers.values()) < _PROJECTIONS:
            yield "no layer is MXTQ in all three projections: it finds no routed expert to hydrate"
    if "controls" in loader.audits:
        controls = {name: tensor.dtype for name, tensor in disk.items() if _CONTROL.fullmatch(name)}
        odd = sorted(name for name, dtype in controls.items() if dtype != "F32")
        if odd:
            yield f"{odd[0]} is {controls[odd[0]]}, not F32: known to drift, repeat and loop"
        elif not controls:
            yield "no control tensor under its source name: the audit finds nothing to check"


def _marked(jang: Mapping[str, Any]) -> bool:
    return (
        jang.get("weight_format") in _JANG_FORMATS
        or jang.get("format") in _JANG_KINDS
        or str(jang.get("profile", "")).startswith("JANGTQ")
    )


def jang_group(view: BundleView) -> int:
    section = view.json.get("jang_config.json", {}).get("quantization")
    value = section.get("group_size") if isinstance(section, dict) else None
    return value if type(value) is int else 64
