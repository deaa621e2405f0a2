"""Floor 2, targets. `rapid-mlx` 0.16.10: the class of mlx-lm#1192, gate and up fused at load. Pure data.

Source: fact sheet mlx.md 3.1 to 3.3. Gate and up of a layer in different formats load, but are not fused (lint 10).
"""

from __future__ import annotations

from dsv4recipe.targets.base import Target
from dsv4recipe.targets.post_sanitize import PR1192, SHARED, named_as_loaded, runs
from dsv4recipe.targets.side_files import plain_side_files

RAPID_MLX = Target(
    name="rapid-mlx",
    names=PR1192,
    disk_stem=named_as_loaded(PR1192),
    halves=("bfloat16", "float16"),
    runs=runs(("affine", "mxfp8", "keep")),
    stem_overrides=False,
    side_files=plain_side_files,
    tied=("gate", "up"),
    tied_error=False,
    row_groups={"wo_a": "o_groups"},
    **SHARED,
)
