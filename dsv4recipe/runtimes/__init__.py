"""Floor 2, runtimes. Holds the registry of runtimes that a bundle can be built for: one folder each, and one line here.

A package outside this project adds a runtime by an entry point of the group `dsv4recipe.runtimes`: its name is the
name of the runtime, its value names a `Runtime`.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points

from dsv4recipe.errors import NOWHERE, RecipeError, Where
from dsv4recipe.recipe.runtimes import GROUP
from dsv4recipe.runtimes.common.loader import Loader
from dsv4recipe.runtimes.common.probing import Probe
from dsv4recipe.runtimes.common.runtime import Runtime
from dsv4recipe.runtimes.common.target import Claim, SideFile, SideInput, Target
from dsv4recipe.runtimes.ds4 import DS4
from dsv4recipe.runtimes.llama_cpp import LLAMA_CPP
from dsv4recipe.runtimes.mlx_lm import MLX_LM
from dsv4recipe.runtimes.mlx_lm_fork import MLX_LM_FORK
from dsv4recipe.runtimes.mlx_vlm import MLX_VLM
from dsv4recipe.runtimes.omlx import OMLX
from dsv4recipe.runtimes.rapid_mlx import RAPID_MLX
from dsv4recipe.runtimes.universal import UNIVERSAL
from dsv4recipe.runtimes.vmlx import VMLX

BUILT_IN = (VMLX, MLX_VLM, RAPID_MLX, OMLX, MLX_LM_FORK, MLX_LM, UNIVERSAL, DS4, LLAMA_CPP)

__all__ = [
    "BUILT_IN", "Claim", "Loader", "Probe", "Runtime", "SideFile", "SideInput", "Target", "get", "known", "loaders",
    "probes", "running", "runtimes", "targets",
]  # fmt: skip


@cache
def runtimes() -> tuple[Runtime, ...]:
    """Returns the runtimes of this version, then those that installed packages add, by name.

    Raises RecipeError T040 for an entry point that gives no `Runtime` of its name, T041 for a name that is taken.
    """
    added = sorted(entry_points(group=GROUP), key=lambda entry: entry.name)
    names = [*(runtime.name for runtime in BUILT_IN), *(entry.name for entry in added)]
    if taken := [name for name in names if names.count(name) > 1]:
        message = (
            f"two runtimes are called {taken[0]!r}; an installed package adds one under a name that is already used"
        )
        raise RecipeError("T041", message, hint="uninstall the package, or rename its entry point and its runtime")
    return (*BUILT_IN, *map(_loaded, added))


def _loaded(entry: EntryPoint) -> Runtime:
    where = Where(subject=entry.value)
    hint = f'write an entry point of {GROUP} as NAME = "package.module:RUNTIME"'
    try:
        found = entry.load()
    except Exception as error:  # code of another package fails in any way it likes
        message = f"the runtime {entry.name!r} cannot be imported: {type(error).__name__}: {error}"
        raise RecipeError("T040", message, where, hint) from error
    if not isinstance(found, Runtime) or {found.name, *(t.name for t in found.targets)} != {entry.name}:
        message = f"the entry point {entry.name!r} does not give a runtime of that name"
        raise RecipeError("T040", message, where, hint)
    return found


@cache
def targets() -> tuple[Target, ...]:
    """Returns every target. A runtime that runs two families under different names has two."""
    return tuple(target for runtime in runtimes() for target in runtime.targets)


def loaders(family: str) -> tuple[Loader, ...]:
    """Returns the loaders that can be replayed for a family, in the order of the table that `verify` shows."""
    found = [each for runtime in runtimes() for each in runtime.loaders if family in each.families]
    return tuple(sorted(found, key=lambda loader: loader.place))


@cache
def probes() -> dict[str, Probe]:
    """Returns what `verify --runtime` can run, by name."""
    return {probe.name: probe for runtime in runtimes() for probe in runtime.probes}


def running(family: str) -> dict[str, Target]:
    """Returns the targets of all runtimes that run a family, by name."""
    return {target.name: target for target in targets() if family in target.families}


def known(name: str, where: Where = NOWHERE) -> tuple[Target, ...]:
    """Returns the targets of a runtime, one per kind of family. Raises RecipeError T001 for a runtime that this version
    cannot build for."""
    found = tuple(target for target in targets() if target.name == name)
    if not found:
        names = ", ".join(sorted({target.name for target in targets()}))
        raise RecipeError(
            "T001", f"this version has no target for runtime {name!r}", where, f"the runtimes are {names}"
        )
    return found


def get(name: str, family: str, where: Where = NOWHERE) -> Target:
    """Returns the target of a runtime for a family. Raises RecipeError T001 (unknown runtime) and T003 (another
    family)."""
    found = known(name, where)
    for target in found:
        if family in target.families:
            return target
    runs = ", ".join(each for target in found for each in target.families)
    others = ", ".join(sorted(running(family))) or "no runtime of this version"
    hint = f"{name} can run {runs}; {others} can run {family}"
    raise RecipeError("T003", f"{name} cannot run family {family}", where, hint)
