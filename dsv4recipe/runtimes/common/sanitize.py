"""Floor 2, runtimes. What the sanitizers of several classes make of a tensor's name, name by name. This module is pure.

Read from the classes of mlx-vlm 0.7.10, rapid-mlx 0.16.10 and jang 2.5.50, and held against their own loads by
`tests/verifier/test_replay.py`. Experts stored one by one stand as `{E}`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from dsv4recipe.runtimes.common.names import PROJECTION_OF

HYPER = re.compile(r"\.hc_(attn|ffn)_(fn|base|scale)")
SHARED = re.compile(r"\.shared_experts\.(w[123])\.")
TOP = {
    "embed.weight": "model.embed_tokens.weight",
    "norm.weight": "model.norm.weight",
    "head.weight": "lm_head.weight",
    **{f"hc_head_{part}": f"model.hc_head.{part}" for part in ("fn", "base", "scale")},
}
"""What lies outside of layers, under the names of mlx-lm#1192's class."""


def as_class(name: str, top: Mapping[str, str], hyper: str) -> str:
    """Returns the name in a class of mlx-lm#1192's kind: `top` renames whole names, `hyper` is the pattern of
    hyper-connections (group 1: attn or ffn, group 2: fn, base or scale)."""
    if name in top:
        return top[name]
    name = f"model.{name}" if name.startswith("layers.") else name
    name = name.replace(".ffn.gate.bias", ".ffn.gate.e_score_correction_bias")
    return long_names(HYPER.sub(hyper, name))


def long_names(name: str) -> str:
    """w1, w2 and w3 of shared experts under their long names."""
    return SHARED.sub(lambda hit: f".shared_experts.{PROJECTION_OF[hit[1]]}.", name)


def pr1192(name: str) -> str | None:
    """mlx-lm#1192, Rapid-MLX, oMLX."""
    return None if name.startswith("mtp.") or ".confidence_head." in name else as_class(name, TOP, r".\1_hc.\2")
