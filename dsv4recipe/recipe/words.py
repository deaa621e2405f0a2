"""Floor 1, recipe. Turns words that people write into what the recipe language calls it. This module is pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from dsv4recipe.errors import did_you_mean
from dsv4recipe.recipe.wording import flow, or_

_KEEP = {
    "bf16": "bfloat16", "bfloat16": "bfloat16", "f16": "float16", "fp16": "float16", "float16": "float16",
    "half": "float16", "f32": "float32", "fp32": "float32", "float32": "float32", "float": "float32",
    "source": "source", "keep": "source", "none": "source", "original": "source",
}  # fmt: skip
_SAME = {"fp8": "mxfp8", "f8": "mxfp8", "fp4": "mxfp4", "f4": "mxfp4", "jangtq": "mxtq", "turboquant": "mxtq"}
_BITS = re.compile(r"(?:w|q|int|uint|affine)?[-_ ]?([234568])[-_ ]?(?:bits?)?")
_PARTS = {
    "mlp": ("routed-expert", "shared-expert"), "ffn": ("routed-expert", "shared-expert"),
    "moe": ("routed-expert",), "attn": ("attention",), "gate": ("router",), "sink": ("attention-sink",),
    "hc": ("hyper-connection",), "layernorm": ("norm",), "rmsnorm": ("norm",), "tid2eid": ("hash-table",),
    "ape": ("position-bias",), "embed": ("embedding",), "mtp": ("mtp-projection",),
}  # fmt: skip
"""The tensor names that checkpoints use, and the roles that they have."""


def format_hint(word: str, kinds: Mapping[str, Any]) -> str:
    """Returns what to write for a format that someone calls `word`. `kinds` holds the schema of each
    kind's parameters."""
    name = word.strip().lower()
    kind = _SAME.get(name, name)
    if kind in kinds:
        return f"write {flow({kind: kinds[kind]['examples'][0]})}"
    if name in _KEEP:
        return f"write keep: {_KEEP[name]} instead of format"
    found = _ggml(name, kinds["ggml"]["properties"]["type"]["enum"]) if "ggml" in kinds else ""
    if found:
        return f"write {found}"
    bits = _BITS.fullmatch(name)
    if bits and "affine" in kinds:
        return f"write {{affine: {{bits: {bits[1]}, group-size: 32}}}}"
    return did_you_mean(word, kinds)


def _ggml(name: str, types: Sequence[str]) -> str:
    """Returns the format of a ggml type in any spelling, such as q4_k, Q4-K or Q4_K_M; "" for anything else."""
    plain = re.sub(r"_[sml]$", "", name.replace("-", "_").removeprefix("ggml_"))
    found = next((each for each in types if each.lower() == plain), "")
    if not found:
        return ""
    guided = {"Q4_K": "none", "Q2_K": "none", "IQ2_XXS": "ones"}
    more = {"importance": guided[found]} if found in guided else {}
    return flow({"ggml": {"type": found, **more}})


def known_word(word: str, values: Sequence[str]) -> str:
    """Returns 'did you mean "x" or "y"?' for the values that hold `word` as a part, or else the nearest value."""
    name = word.strip().lower()
    one = name.removesuffix("s")
    parts = [each for each in _PARTS.get(name, ()) if each in values]
    parts = parts or [each for each in values if name != each and {one, name} & set(each.split("-"))]
    if parts:
        quoted = [f'"{each}"' for each in parts]
        return f"did you mean {or_(quoted)}?"
    return did_you_mean(word, values)
