"""Floor 2, targets. One file per runtime: names, legality, config and side files. Pure."""

from __future__ import annotations

from dsv4recipe.errors import NOWHERE, RecipeError, Where
from dsv4recipe.targets.base import Claim, SideFile, SideInput, Target
from dsv4recipe.targets.ds4 import DS4
from dsv4recipe.targets.llama_cpp import LLAMA_CPP
from dsv4recipe.targets.mlx_lm import MLX_LM
from dsv4recipe.targets.mlx_lm_fork import MLX_LM_FORK
from dsv4recipe.targets.mlx_vlm import MLX_VLM
from dsv4recipe.targets.mlx_vlm_v41 import MLX_VLM_V41
from dsv4recipe.targets.omlx import OMLX
from dsv4recipe.targets.rapid_mlx import RAPID_MLX
from dsv4recipe.targets.universal import UNIVERSAL
from dsv4recipe.targets.vmlx import VMLX

TARGETS = (VMLX, MLX_VLM, MLX_VLM_V41, RAPID_MLX, OMLX, MLX_LM_FORK, MLX_LM, UNIVERSAL, DS4, LLAMA_CPP)
"""Every target. A runtime that runs two families under different names has two."""

__all__ = ["TARGETS", "Claim", "SideFile", "SideInput", "Target", "get", "known", "running"]


def running(family: str) -> dict[str, Target]:
    """The targets of all runtimes that run a family, by name."""
    return {target.name: target for target in TARGETS if family in target.families}


def known(name: str, where: Where = NOWHERE) -> tuple[Target, ...]:
    """The targets of a runtime, one per kind of family. Raises RecipeError T001 for a runtime that this version cannot
    build for."""
    found = tuple(target for target in TARGETS if target.name == name)
    if not found:
        runtimes = ", ".join(sorted({target.name for target in TARGETS}))
        raise RecipeError("T001", f"no target for runtime {name!r} in this version", where, f"runtimes: {runtimes}")
    return found


def get(name: str, family: str, where: Where = NOWHERE) -> Target:
    """The target of a runtime for a family. Raises RecipeError T001 (unknown runtime) and T003 (another family)."""
    targets = known(name, where)
    for target in targets:
        if family in target.families:
            return target
    runs = ", ".join(each for target in targets for each in target.families)
    others = ", ".join(sorted(running(family))) or "no runtime of this version"
    hint = f"{name} runs {runs}; {family} is run by {others}"
    raise RecipeError("T003", f"{name} does not run family {family}", where, hint)
