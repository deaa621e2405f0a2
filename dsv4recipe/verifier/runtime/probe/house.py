"""Floor 4, verifier (child side). Lets the probe's interpreter, which lacks this project, import parts of it.

The folders that the child needs become packages under their real names, without their `__init__`, which would import
the rest of the project and its dependencies.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

PACKAGES = (
    "dsv4recipe", "dsv4recipe.runtimes", "dsv4recipe.runtimes.common", "dsv4recipe.verifier",
    "dsv4recipe.verifier.runtime", "dsv4recipe.verifier.runtime.probe",
)  # fmt: skip


def register() -> None:
    """Makes the packages, unless the project was imported before."""
    root = Path(__file__).resolve().parents[4]
    for name in PACKAGES:
        if name not in sys.modules:
            package = ModuleType(name)
            package.__path__ = [str(root.joinpath(*name.split(".")))]
            sys.modules[name] = package


def built_in() -> list[Path]:
    """Returns the adapter files of the runtimes of this version."""
    return sorted((Path(__file__).resolve().parents[3] / "runtimes").glob("*/probe.py"))
