"""Floor 2, runtimes. `universal`: one bundle for the classes of mlx-lm#1192 and its branch, mlx-vlm, Rapid-MLX,
oMLX and jang. Pure data.

Source: docs/reference/runtimes.md, "Names on disk". Source names on disk, which every class renames by itself; experts
stacked under the one name that all let pass; embedding and head unquantized, for no name of a quantized head suits all;
control tensors in float32 for vMLX; and entries under the paths of every dialect.
"""

from __future__ import annotations

from dsv4recipe.checkpoint.family import Slot
from dsv4recipe.runtimes.common.post_sanitize import PR1192, runs
from dsv4recipe.runtimes.common.target import Target
from dsv4recipe.runtimes.mlx_vlm import target as mlx_vlm
from dsv4recipe.runtimes.vmlx import target as vmlx
from dsv4recipe.runtimes.vmlx.side_files import vmlx_side_files


def disk_stem(slot: Slot, experts: str) -> str:  # noqa: ARG001 - experts are always stacked
    """Source names, but routed experts of the main block as `layers.N.ffn.switch_mlp.P`."""
    if slot.expert is not None and slot.block == "main":
        return PR1192.inner(slot.stem).removeprefix(PR1192.root)
    return slot.stem


UNIVERSAL = Target(
    name="universal",
    families=("deepseek_v4",),
    names=PR1192,
    also=(vmlx.NAMES, mlx_vlm.NAMES),
    disk_stem=disk_stem,
    expert_layouts=("stacked",),
    mtp=("drop", "keep"),
    halves=("bfloat16",),
    runs=runs(("affine", "keep")) | {"embedding": ("keep",), "lm-head": ("keep",)},
    float32_roles=vmlx.VMLX.float32_roles,
    overrides="all",
    stem_overrides=True,
    side_files=vmlx_side_files,
    library="mlx",
    tied=("gate", "up"),
    laws=("jang",),
)
