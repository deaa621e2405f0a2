"""Floor 2, runtimes. `rapid-mlx` 0.16.10: the class of mlx-lm#1192, gate and up fused at load, DSpark stages. This
module is pure.

Source: docs/reference/runtimes.md. Gate and up of a layer in different formats load, but are not fused. Its
class has DSpark stages as `mtp.N` where config.json says `dspark_num_layers`, and no confidence head: the loader passes
that over. Its drafter reads the same numbers from `inference/config.json`, and knows three stages only.
"""

from __future__ import annotations

from dsv4recipe.runtimes.common.post_sanitize import PR1192, SHARED, named_as_loaded, runs
from dsv4recipe.runtimes.common.side_files import dump, plain_side_files
from dsv4recipe.runtimes.common.target import SideFile, SideInput, Target


def side_files(side: SideInput) -> tuple[SideFile, ...]:
    """Returns the plain companions; with DSpark stages kept, their geometry for the drafter too."""
    files = plain_side_files(side, **({"dspark_num_layers": side.stages} if side.stages else {}))
    if not side.stages:
        return files
    geometry = {key: value for key, value in side.config.items() if key.startswith("dspark_")}
    inference = SideFile("inference/config.json", dump({"n_mtp_layers": side.stages} | geometry))
    return (*(file for file in files if file.name != inference.name), inference)


RAPID_MLX = Target(
    name="rapid-mlx",
    names=PR1192,
    disk_stem=named_as_loaded(PR1192, stages=("dspark",)),
    halves=("bfloat16", "float16"),
    runs=runs(("affine", "mxfp8", "keep")),
    stem_overrides=False,
    side_files=side_files,
    tied=("gate", "up"),
    tied_error=False,
    row_groups={"wo_a": "o_groups"},
    mtp_paths=("dspark",),
    stages=("dspark",),
    skips=("mtp.{N}.confidence_head.",),
    **(SHARED | {"mtp": ("drop", "keep")}),
)
