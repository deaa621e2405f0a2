"""Floor 2, runtimes. `mlx-vlm` 0.7.10 and DeepSeek-V4.1: language model with Engram, vision tower, aligner. Pure data.

Source: the class `mlx_vlm.models.deepseek_v41` as installed. It keeps the source's names below `language_model.`, reads
rows of the Engram tables from the file as they are asked for, and drops MTP stages. Its head is no linear module: it
multiplies in float32, from a matrix that is not packed.
"""

from __future__ import annotations

from dsv4recipe.runtimes.common.names import PROJECTION_OF, NameMap
from dsv4recipe.runtimes.common.post_sanitize import SHARED, named_as_loaded, runs
from dsv4recipe.runtimes.common.side_files import plain_side_files
from dsv4recipe.runtimes.common.target import Target

NAMES = NameMap(
    root="language_model.",
    globals_={"embed": "language_model.embed_tokens"},
    layer={
        **{f"ffn.experts.{{E}}.{w}": f"ffn.switch_mlp.{name}" for w, name in PROJECTION_OF.items()},
        **{f"ffn.shared_experts.{w}": f"ffn.shared_experts.{name}" for w, name in PROJECTION_OF.items()},
    },
    outside=("vision", "aligner", "image_start", "image_end", "image_newline"),
)

_MATRIX = ("affine", "mxfp8", "keep")

MLX_VLM_V41 = Target(
    name="mlx-vlm",
    names=NAMES,
    disk_stem=named_as_loaded(NAMES),
    halves=("bfloat16", "float16"),
    runs=runs(_MATRIX)
    | {"engram-table": _MATRIX, "engram": _MATRIX, "vision": ("affine", "keep"), "aligner": ("affine", "keep")}
    | {"lm-head": ("keep",)},
    stem_overrides=False,
    side_files=plain_side_files,
    row_groups={"wo_a": "o_groups"},
    **(SHARED | {"families": ("deepseek_v41",)}),
)
