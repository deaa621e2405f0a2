"""Floor 2, targets. One file per runtime: names, legality, config and side files. Pure."""

from __future__ import annotations

from dsv4recipe.errors import NOWHERE, RecipeError, Where
from dsv4recipe.targets.base import Claim, SideFile, SideInput, Target
from dsv4recipe.targets.mlx_lm_fork import MLX_LM_FORK
from dsv4recipe.targets.mlx_vlm import MLX_VLM
from dsv4recipe.targets.omlx import OMLX
from dsv4recipe.targets.rapid_mlx import RAPID_MLX
from dsv4recipe.targets.universal import UNIVERSAL
from dsv4recipe.targets.vmlx import VMLX

TARGETS = {target.name: target for target in (VMLX, MLX_VLM, RAPID_MLX, OMLX, MLX_LM_FORK, UNIVERSAL)}

__all__ = ["TARGETS", "Claim", "SideFile", "SideInput", "Target", "get"]


def get(name: str, where: Where = NOWHERE) -> Target:
    """The target of a runtime. Raises RecipeError T001 for a runtime that this version cannot build for."""
    if name not in TARGETS:
        known = ", ".join(sorted(TARGETS))
        raise RecipeError("T001", f"no target for runtime {name!r} in this version", where, f"runtimes: {known}")
    return TARGETS[name]
