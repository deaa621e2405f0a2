"""Floor 2, runtimes. `mlx-lm-fork`: the mlx-lm branch of the published Q3-mixed bundle, `hc_attn`/`hc_ffn` and a 2-D
`wo_a`. Pure data.

Source: docs/reference/runtimes.md, "Module names"; the class of a branch that merged it,
machiabeli/mlx-lm-1 01e001c6, read and not run. The branch converts to affine only; mxfp4 experts
were loaded and run there, mxfp8 was not.
"""

from __future__ import annotations

from dsv4recipe.runtimes.common.post_sanitize import SHARED, class_names, named_as_loaded, runs
from dsv4recipe.runtimes.common.side_files import plain_side_files
from dsv4recipe.runtimes.common.target import Target

NAMES = class_names("hc_attn", "hc_ffn")

MLX_LM_FORK = Target(
    name="mlx-lm-fork",
    names=NAMES,
    disk_stem=named_as_loaded(NAMES),
    halves=("bfloat16", "float16"),
    runs=runs(("affine", "keep")),
    stem_overrides=False,
    side_files=plain_side_files,
    **SHARED,
)
