"""Floor 2, runtimes. Describes what jang 2.5.50 and vMLX 1.6.81 do with a bundle when they load it. This module is
pure."""

from __future__ import annotations

import re
from dataclasses import replace

from dsv4recipe.runtimes.common.loader import Loader
from dsv4recipe.runtimes.common.names import split_name
from dsv4recipe.runtimes.common.rules import else_global, else_inferred
from dsv4recipe.runtimes.common.sanitize import long_names
from dsv4recipe.runtimes.vmlx.section import corrected, vmlx_section
from dsv4recipe.runtimes.vmlx.target import VMLX as TARGET


def rename(name: str) -> str | None:
    """jang's class, and so vMLX: made for source names, and not idempotent."""
    if name.startswith("mtp."):
        return None
    stem, suffix = split_name(name)
    if stem == "head":
        return "lm_head" + suffix
    hit = re.fullmatch(r"layers\.(\d+)\.(.+)", name)
    if hit is None:
        return f"model.{name}"
    rest = hit[2]
    for old, new in (
        ("attn_norm.weight", "input_layernorm.weight"),
        ("ffn_norm.weight", "post_attention_layernorm.weight"),
    ):
        rest = new if rest == old else rest
    if rest.startswith("attn."):
        rest = "self_attn." + rest.removeprefix("attn.")
    elif rest.startswith("ffn."):
        rest = long_names("mlp." + rest.removeprefix("ffn."))
    return f"model.layers.{hit[1]}.{rest}"


JANG = Loader(
    "jang",
    "2.5.50",
    TARGET,
    ("vmlx", "universal"),
    else_inferred,
    rename,
    place=1,
    stacks=("weight", "scales", "biases"),
    strict=False,
    mxtq=True,
    correct=corrected,
    by_shard=True,
)
VMLX = replace(
    JANG,
    name="vmlx",
    version="1.6.81",
    correct=None,
    by_shard=False,
    repair=vmlx_section,
    by_index=True,
    audits=("marked", "encoder", "whole", "controls"),
)
STRICT_32 = replace(
    JANG,
    name="jang's class, mlx-lm 0.32",
    version="",
    serves=(),
    strict=True,
    mxtq=False,
    correct=None,
    by_shard=False,
)
STRICT_31 = replace(STRICT_32, name="jang's class, mlx-lm 0.31", rule=else_global)
LENIENT = replace(STRICT_32, name="jang's class, strict=False", strict=False)

LOADERS = (JANG, VMLX, STRICT_31, STRICT_32, LENIENT)
