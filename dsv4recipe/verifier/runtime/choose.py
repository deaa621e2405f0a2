"""Floor 4, verifier (step 4). Chooses the runtimes that can prove a bundle, and the interpreter that has each.

It is pure except for reading environment variables. What a loader does is in `runtimes/<name>/probe.py`, in the child.
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
from dsv4recipe.runtimes import Probe, probes, runtimes

ALL = "all"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A runtime to run with its interpreter, or the finding that says why it is not run."""

    runtime: Probe
    python: Path | None = None
    skipped: Diagnostic | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What the choice depends on: the bundle's folder, the targets whose names it has, its model type, and whether it
    holds MXTQ tensors."""

    bundle: Path
    targets: tuple[str, ...]
    model_type: str
    mxtq: bool


def interpreters(named: Iterable[str]) -> dict[str, Path]:
    """Parses `--runtime-python`, each [NAME=]PATH, into runtime name (or "" for all others) → interpreter.

    Raises RecipeError V222 for a name that is not a runtime.
    """
    found = {}
    for text in named:
        name, equals, path = text.partition("=")
        if not equals or "/" in name or "\\" in name:  # a path may hold an equals sign
            name, path = "", text
        elif name not in probes():
            raise RecipeError("V222", f"unknown runtime {name!r} in {text!r}", hint=did_you_mean(name, probes()))
        found[name] = as_path(path)
    return found


def choose(name: str, asked: Asked, named: Mapping[str, Path]) -> tuple[Chosen, ...]:
    """Returns the runtime `name`, or for "all" every runtime that the bundle is for.

    The interpreter is the one given, else that of the environment variable, else this one if it has the package. A
    runtime that is named explicitly is always run; if it is missing, that is a finding of the run. Raises RecipeError
    V222 for an unknown name.
    """
    if name != ALL:
        if name not in probes():
            raise RecipeError("V222", f"unknown runtime {name!r}", hint=did_you_mean(name, (*probes(), ALL)))
        one = probes()[name]
        return (_refused(one, asked) or Chosen(one, _interpreter(one, named) or Path(sys.executable)),)
    chosen = []
    for runtime in probes().values():
        fits = set(runtime.targets) & set(asked.targets) and (runtime.mxtq or not asked.mxtq)
        if fits and _refused(runtime, asked) is None:
            python = _interpreter(runtime, named)
            chosen.append(Chosen(runtime, python) if python else _skipped(runtime, asked))
    return tuple(chosen)


def how_to_install(name: str) -> str:
    """Returns the command that makes an environment with a loader."""
    for runtime in runtimes():
        if runtime.server is not None and name in (runtime.server.name, *(probe.name for probe in runtime.probes)):
            return f"`dsv4recipe runtimes install {runtime.server.name}` makes an environment that has it"
    return "`sh scripts/runtimes` makes an environment that has it"


def _interpreter(runtime: Probe, named: Mapping[str, Path]) -> Path | None:
    told = named.get(runtime.name) or named.get("") or os.environ.get(runtime.variable)
    if told:
        return as_path(told)
    return Path(sys.executable) if importlib.util.find_spec(runtime.package) else None


def _refused(runtime: Probe, asked: Asked) -> Chosen | None:
    if not asked.model_type or asked.model_type in runtime.families:
        return None  # without a model_type the runtime's own message says more
    return Chosen(
        runtime,
        skipped=Diagnostic(
            "V229",
            f"{runtime.name} cannot load bundles of {asked.model_type}, only those of {' and '.join(runtime.families)}",
            Where(str(asked.bundle), subject=runtime.name),
            hint="V4 and V4.1 are two architectures; pass --runtime all to use the runtimes that this bundle is for",
        ),
    )


def _skipped(runtime: Probe, asked: Asked) -> Chosen:
    return Chosen(
        runtime,
        skipped=Diagnostic(
            "V230",
            f"skipped, because no interpreter with {runtime.name} is known",
            Where(str(asked.bundle), subject=runtime.name),
            hint=f"pass --runtime-python {runtime.name}=PATH or set the variable {runtime.variable}; "
            + how_to_install(runtime.name),
            severity="warning",
        ),
    )
