"""Floor 4, verifier (step 4). The runtimes that can prove a bundle: for which bundles, and which interpreter has each.

Pure but for the environment's variables. What a runtime does is on the child's side, in `probe.runtimes`.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dsv4recipe.errors import Diagnostic, RecipeError, Where, did_you_mean
from dsv4recipe.paths import as_path

ALL = "all"


@dataclass(frozen=True, slots=True)
class Runtime:
    """`targets`: the targets whose bundles it loads; `families`: the model types of these bundles. `variable` may name
    the interpreter that has it; `package` is what it is imported as. `strict`: it refuses a bundle of which a name does
    not fit. `mxtq`: it reads MXTQ tensors."""

    name: str
    targets: tuple[str, ...]
    variable: str
    package: str
    strict: bool = True
    mxtq: bool = False
    families: tuple[str, ...] = ("deepseek_v4",)


_JANG = ("vmlx", "universal")
_PR1192 = ("mlx-vlm", "rapid-mlx", "omlx", "universal")

RUNTIMES = {
    runtime.name: runtime
    for runtime in (
        Runtime("jang-strict", _JANG, "DSV4RECIPE_JANG_PYTHON", "jang_tools"),
        Runtime("jang", _JANG, "DSV4RECIPE_JANG_PYTHON", "jang_tools", strict=False, mxtq=True),
        Runtime("vmlx", _JANG, "DSV4RECIPE_VMLX_PYTHON", "vmlx_engine", strict=False, mxtq=True),
        Runtime("mlx-vlm", _PR1192, "DSV4RECIPE_MLX_VLM_PYTHON", "mlx_vlm", families=("deepseek_v4", "deepseek_v41")),
        Runtime("rapid-mlx", _PR1192, "DSV4RECIPE_RAPID_MLX_PYTHON", "rapid_mlx"),
        Runtime(
            "mlx-lm",
            ("mlx-lm",),
            "DSV4RECIPE_MLX_LM_PYTHON",
            "mlx_lm",
            families=("deepseek_v41", "deepseek_v41_text"),
        ),
    )
}
"""oMLX and the mlx-lm branch of the Q3 bundle are in no package registry: oMLX's class is that of Rapid-MLX."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A runtime to run and its interpreter, or the finding that says why it is not run."""

    runtime: Runtime
    python: Path | None = None
    skipped: Diagnostic | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What the choice depends on: the bundle's folder, the targets whose names it has, its model type, whether it holds
    MXTQ tensors."""

    bundle: Path
    targets: tuple[str, ...]
    model_type: str
    mxtq: bool


def interpreters(named: Iterable[str]) -> dict[str, Path]:
    """`--runtime-python` as given, [NAME=]PATH each → runtime name, or "" for all others, → interpreter.

    Raises RecipeError V222 for a name that is no runtime.
    """
    found = {}
    for text in named:
        name, equals, path = text.partition("=")
        if not equals or "/" in name or "\\" in name:  # a path may hold an equals sign
            name, path = "", text
        elif name not in RUNTIMES:
            raise RecipeError("V222", f"unknown runtime {name!r} in {text!r}", hint=did_you_mean(name, RUNTIMES))
        found[name] = as_path(path)
    return found


def choose(name: str, asked: Asked, named: Mapping[str, Path]) -> tuple[Chosen, ...]:
    """The runtime `name`, or for "all" every runtime that the bundle is for.

    The interpreter is the named one, else the variable's, else this one where it has the package. What is asked for by
    its own name is run in any case: that it is missing is then a finding of the run. Raises RecipeError V222 for an
    unknown name.
    """
    if name != ALL:
        if name not in RUNTIMES:
            raise RecipeError("V222", f"unknown runtime {name!r}", hint=did_you_mean(name, (*RUNTIMES, ALL)))
        one = RUNTIMES[name]
        return (_refused(one, asked) or Chosen(one, _interpreter(one, named) or Path(sys.executable)),)
    chosen = []
    for runtime in RUNTIMES.values():
        fits = set(runtime.targets) & set(asked.targets) and (runtime.mxtq or not asked.mxtq)
        if fits and _refused(runtime, asked) is None:
            python = _interpreter(runtime, named)
            chosen.append(Chosen(runtime, python) if python else _skipped(runtime, asked))
    return tuple(chosen)


def _interpreter(runtime: Runtime, named: Mapping[str, Path]) -> Path | None:
    told = named.get(runtime.name) or named.get("") or os.environ.get(runtime.variable)
    if told:
        return as_path(told)
    return Path(sys.executable) if importlib.util.find_spec(runtime.package) else None


def _refused(runtime: Runtime, asked: Asked) -> Chosen | None:
    if not asked.model_type or asked.model_type in runtime.families:
        return None  # without a model_type the runtime's own message says more
    return Chosen(
        runtime,
        skipped=Diagnostic(
            "V229",
            f"{runtime.name} loads no bundle of {asked.model_type}: it loads those of {' and '.join(runtime.families)}",
            Where(str(asked.bundle), subject=runtime.name),
            hint="V4 and V4.1 are two architectures; verify --runtime all takes the runtimes that this bundle is for",
        ),
    )


def _skipped(runtime: Runtime, asked: Asked) -> Chosen:
    return Chosen(
        runtime,
        skipped=Diagnostic(
            "V230",
            f"skipped: no interpreter is known that has {runtime.name}",
            Where(str(asked.bundle), subject=runtime.name),
            hint=f"--runtime-python {runtime.name}=PATH or the variable {runtime.variable} names one; "
            "sh scripts/runtimes makes an environment for each",
            severity="warning",
        ),
    )
