"""Floor 2, runtimes. Describes what the mlx-lm branch of the Q3 bundle does with a bundle. Read, not run. This module
is pure."""

from __future__ import annotations

from dataclasses import replace

from dsv4recipe.runtimes.common.loader import Loader
from dsv4recipe.runtimes.common.rules import else_global, else_inferred
from dsv4recipe.runtimes.common.sanitize import TOP, as_class
from dsv4recipe.runtimes.mlx_lm_fork.target import MLX_LM_FORK as TARGET


def rename(name: str) -> str | None:
    """As mlx-lm#1192, but for the names of hyper-connections."""
    return None if name.startswith("mtp.") else as_class(name, TOP, r".hc_\1.\2")


ON_31 = Loader(
    "Q3 branch on mlx-lm 0.31", "", TARGET, ("mlx-lm-fork", "universal"), else_global, rename, stacks=("weight",)
)

LOADERS = (ON_31, replace(ON_31, name="Q3 branch on mlx-lm 0.32", rule=else_inferred))
