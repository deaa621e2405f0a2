"""Floor 4, verifier. Finds what a loader refuses before it loads. Pure, but it checks whether vMLX's encoder exists."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from dsv4recipe.bundle.view import BundleView
from dsv4recipe.runtimes.common.loader import Given, Loader

_CONTROL = re.compile(
    r"hc_head_(fn|base|scale)|layers\.\d+\.(hc_(attn|ffn)_(fn|base|scale)|attn\.attn_sink|ffn\.gate\.bias)"
)
_PACKED = re.compile(r"layers\.(\d+)\.(?:mlp\.switch_mlp\.\w+_proj|ffn\.experts\.\{E\}\.w[123])\.tq_packed")
_JANG_FORMATS = {"affine", "jang_affine", "mxtq", "mxfp4", "mxfp8"}
_PROJECTIONS = 3
_JANG_KINDS = {"jang", "jang-v2", "jjqf", "mxq", "jangtq", "jangtq2"}


def audit(loader: Loader, view: BundleView, disk: Given) -> Iterator[str]:
    """Yields why the loader refuses the bundle before loading, one sentence each. Raises KeyError if the loader names
    an audit that is not in AUDITS."""
    for name in loader.audits:
        yield from AUDITS[name](view, disk)


def _float16(view: BundleView, disk: Given) -> Iterator[str]:
    halves = [name for name, tensor in disk.items() if tensor.dtype == "F16" and not name.endswith(".tq_norms")]
    if halves:
        yield f"{len(halves):,} float16 tensors, such as {halves[0]}, are known to give repeated BOS tokens"


def _unmarked(view: BundleView, disk: Given) -> Iterator[str]:
    if not _marked(view.json.get("jang_config.json", {})):
        yield UNMARKED


def _encoder(view: BundleView, disk: Given) -> Iterator[str]:
    if not (view.root / "encoding" / "encoding_dsv4.py").is_file():
        yield "encoding/encoding_dsv4.py is missing"


def _whole_layers(view: BundleView, disk: Given) -> Iterator[str]:
    layers = Counter(hit[1] for hit in map(_PACKED.fullmatch, disk) if hit)
    if layers and max(layers.values()) < _PROJECTIONS:
        yield "no layer is MXTQ in all three projections, so it finds no routed expert to hydrate"


def _controls(view: BundleView, disk: Given) -> Iterator[str]:
    controls = {name: tensor.dtype for name, tensor in disk.items() if _CONTROL.fullmatch(name)}
    odd = sorted(name for name, dtype in controls.items() if dtype != "F32")
    if odd:
        yield f"{odd[0]} is {controls[odd[0]]}, not F32, which is known to cause drift and repetition"
    elif not controls:
        yield "no control tensor has its source name, so the audit finds nothing to check"


AUDITS: Mapping[str, Callable[[BundleView, Given], Iterator[str]]] = {
    "float16": _float16,
    "marked": _unmarked,
    "encoder": _encoder,
    "whole": _whole_layers,
    "controls": _controls,
}
"""The audits that `Loader.audits` can name."""

UNMARKED = "unmarked"
"""The result of the audit "marked": the loader then treats the bundle as another kind, and nothing more is known."""


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
