"""Floor 2, runtimes. `omlx`: the class of mlx-lm#1192; refuses float16 for DeepSeek-V4. Pure data.

Source: docs/reference/runtimes.md, "Module names"; its class as of jundot/omlx 0d51bce0, read and not run: it names
modules as mlx-lm#1192 does, and casts bfloat16 scales and biases of affine routed experts to float16 when it loads.
mxfp4 experts are not touched.
"""

from __future__ import annotations

from dsv4recipe.runtimes.common.post_sanitize import PR1192, SHARED, named_as_loaded, runs
from dsv4recipe.runtimes.common.side_files import plain_side_files
from dsv4recipe.runtimes.common.target import Target

OMLX = Target(
    name="omlx",
    names=PR1192,
    disk_stem=named_as_loaded(PR1192),
    halves=("bfloat16",),
    runs=runs(("affine", "mxfp8", "keep")),
    stem_overrides=False,
    side_files=plain_side_files,
    row_groups={"wo_a": "o_groups"},
    **SHARED,
)
