"""Floor 2, runtimes. Describes what Rapid-MLX 0.16.10 does with a bundle when it loads it (with mlx-lm 0.31.3). This
module is pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsv4recipe.runtimes.common.loader import Loader
from dsv4recipe.runtimes.common.names import PROJECTION_OF
from dsv4recipe.runtimes.common.rules import else_global
from dsv4recipe.runtimes.common.sanitize import as_class, pr1192
from dsv4recipe.runtimes.rapid_mlx.target import RAPID_MLX as TARGET


def section(entries: Mapping[str, Any]) -> Mapping[str, Any]:
    """Rapid-MLX rewrites keys of the source's style before mlx-lm looks at them; the later of two wins."""
    found: dict[str, Any] = {}
    for key, value in entries.items():
        name = (
            f"model.{key}"
            if key.startswith("layers.")
            else {"embed": "model.embed_tokens", "head": "lm_head"}.get(key, key)
        )
        for short, long in PROJECTION_OF.items():
            name = name.replace(f".ffn.shared_experts.{short}", f".ffn.shared_experts.{long}")
        found[name] = value
    return found


def rename_stage(name: str) -> str | None:
    """Returns a tensor of a DSpark stage, for which the class has modules; it has none for the confidence head."""
    return None if ".confidence_head." in name else as_class(name, {}, r".\1_hc.\2").replace(".hc_head_", ".hc_head.")


LOADERS = (
    Loader(
        "rapid-mlx",
        "0.16.10",
        TARGET,
        ("rapid-mlx", "universal"),
        else_global,
        pr1192,
        rename_stage=rename_stage,
        fuses=True,
        section=section,
    ),
)
