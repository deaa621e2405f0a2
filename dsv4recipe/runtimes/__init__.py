"""Floor 2, runtimes. One file per runtime: names, legality, config and side files. Pure."""

from __future__ import annotations

from dsv4recipe.errors import NOWHERE, RecipeError, Where
from dsv4recipe.runtimes.common.target import Claim, SideFile, SideInput, Target
from dsv4recipe.runtimes.ds4.target import DS4
from dsv4recipe.runtimes.llama_cpp.target import LLAMA_CPP
from dsv4recipe.runtimes.mlx_lm.target import MLX_LM
from dsv4recipe.runtimes.mlx_lm_fork.target import MLX_LM_FORK
from dsv4recipe.runtimes.mlx_vlm.target import MLX_VLM
from dsv4recipe.runtimes.mlx_vlm.target_v41 import MLX_VLM_V41
from dsv4recipe.runtimes.omlx.target import OMLX
from dsv4recipe.runtimes.rapid_mlx.target import RAPID_MLX
from dsv4recipe.runtimes.universal.target import UNIVERSAL
from dsv4recipe.runtimes.vmlx.target import VMLX

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
