"""Floor 2, runtimes. How `verify --runtime` finds a loader of a runtime, and what it may ask of it. Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Probe:
    """A loader that `verify --runtime` can run.

    `targets` names the targets whose bundles it loads, `families` the model types of these bundles. `variable` is the
    environment variable that names the interpreter which has the runtime, `package` the package to import there.
    `adapters` is the file that tells the child process how to build, load and run a model (a class per loader, see
    `verifier.runtime.probe.adapter`); it runs in the runtime's interpreter and imports nothing of this project but that
    module. `packages` are the distributions whose versions say what was run. A `strict` loader refuses a bundle with a
    name that does not fit. `mxtq`: it reads MXTQ tensors.
    """

    name: str
    targets: tuple[str, ...]
    variable: str
    package: str
    adapters: Path
    packages: tuple[str, ...]
    strict: bool = True
    mxtq: bool = False
    families: tuple[str, ...] = ("deepseek_v4",)
