"""Floor 2, runtimes. `mlx-vlm` 0.7.10: the class of mlx-lm#1192 inside a `language_model`. Pure data.

Source: docs/reference/runtimes.md. Entries are written under the module path and under the name on disk, so that
the bundle also describes itself to the runtimes that have the same class unwrapped.
"""

from __future__ import annotations

from dsv4recipe.runtimes.common.post_sanitize import SHARED, class_names, named_as_loaded, runs
from dsv4recipe.runtimes.common.side_files import plain_side_files
from dsv4recipe.runtimes.common.target import Target

NAMES = class_names("attn_hc", "ffn_hc", wrapper="language_model.")

MLX_VLM = Target(
    name="mlx-vlm",
    names=NAMES,
    disk_stem=named_as_loaded(NAMES),
    halves=("bfloat16", "float16"),
    runs=runs(("affine", "mxfp8", "keep")),
    stem_overrides=True,
    side_files=plain_side_files,
    row_groups={"wo_a": "o_groups"},
    **SHARED,
)
