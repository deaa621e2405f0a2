"""Floor 2, runtimes. Describes what mlx-vlm 0.7.10 does with a bundle of DeepSeek-V4 when it loads it. This module is
pure."""

from __future__ import annotations

from dsv4recipe.runtimes.common.loader import Loader
from dsv4recipe.runtimes.common.names import PROJECTION_OF
from dsv4recipe.runtimes.common.rules import else_global
from dsv4recipe.runtimes.common.sanitize import TOP, as_class
from dsv4recipe.runtimes.mlx_vlm.target import MLX_VLM as TARGET

_TOP = {
    **TOP,
    **{f"{stem}.{p}": f"model.embed_tokens.{p}" for stem in ("embed", "embed_tokens") for p in ("scales", "biases")},
    **{f"hc_head.{part}": f"model.hc_head.{part}" for part in ("fn", "base", "scale")},
}


def rename(name: str) -> str | None:
    """mlx-vlm: Transformers' spellings first, then as mlx-lm#1192, then the wrapper."""
    if name.startswith("model."):
        name = name.removeprefix("model.")
        name = "embed.weight" if name == "embed_tokens.weight" else name
    name = name.replace(".self_attn.", ".attn.").replace(".mlp.", ".ffn.")
    if ".ffn.experts." in name:
        for short, long in PROJECTION_OF.items():
            name = name.replace(f".{long}.", f".{short}.")
    return None if name.startswith("mtp.") else as_class(name, _TOP, r".\1_hc.\2")


LOADERS = (
    Loader(
        "mlx-vlm",
        "0.7.10",
        TARGET,
        ("mlx-vlm", "universal"),
        else_global,
        rename,
        stacks=("weight", "scales", "biases"),
        by_index=True,
    ),
)
