"""Floor 3, bundle. Says where the parts of a bundle lie: in a folder, or in one file with its manifest beside it.

There is one strategy per container. All other modules ask it and never look at a name's suffix. It looks at names, and
asks whether a folder exists.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dsv4recipe.plan.containers import GGUF, SAFETENSORS, Container, container_of
from dsv4recipe.plan.gguf_file import SUFFIX
from dsv4recipe.plan.model import Plan

NAME = "dsv4recipe.manifest.json"
FILE_SUFFIX = ".manifest.json"
"""The suffix of the manifest beside a bundle that is one file; this manifest holds the plan."""


@dataclass(frozen=True)
class Places:
    """Describes where one container's parts lie. `noun` is the name for such a bundle, and `suffix` the ending of its
    name. `suits` says whether a name is possible, and `proposed` gives a possible name. `there` says whether such a
    bundle exists. `manifest` and `file` give the paths of the manifest and of a file of the plan. `present` lists the
    files that belong to a bundle because they lie in it. `plan_inside` says that the manifest holds the plan."""

    container: Container
    noun: str
    suffix: str
    suits: Callable[[Path], bool]
    proposed: Callable[[Path], Path]
    there: Callable[[Path], bool]
    manifest: Callable[[Path], Path]
    file: Callable[[Path, str], Path]
    present: Callable[[Path], set[str]]
    plan_inside: bool


def _files(folder: Path) -> set[str]:
    return {
        (Path(base) / name).relative_to(folder).as_posix()
        for base, _, names in os.walk(folder, followlinks=False)
        for name in names
    }


FOLDER = Places(
    container=SAFETENSORS,
    noun="a folder",
    suffix="",
    suits=lambda bundle: bundle.suffix != SUFFIX,
    proposed=lambda bundle: bundle.with_suffix(""),
    there=lambda bundle: bundle.is_dir(),
    manifest=lambda bundle: bundle / NAME,
    file=lambda bundle, name: bundle / name,
    present=_files,
    plan_inside=False,
)
ONE_FILE = Places(
    container=GGUF,
    noun="one file",
    suffix=SUFFIX,
    suits=lambda bundle: bundle.suffix == SUFFIX,
    proposed=lambda bundle: bundle.with_suffix(SUFFIX),
    there=lambda bundle: bundle.is_file(),
    manifest=lambda bundle: bundle.with_name(bundle.name + FILE_SUFFIX),
    file=lambda bundle, name: bundle,
    present=lambda bundle: set(),
    plan_inside=True,
)
PLACES = {places.container.name: places for places in (FOLDER, ONE_FILE)}


def places_of(bundle: Path) -> Places:
    """Returns the places of a bundle of this name, existing or not. A folder that is called x.gguf is a folder."""
    return ONE_FILE if ONE_FILE.suits(bundle) and not bundle.is_dir() else FOLDER


def places_for(plan: Plan) -> Places:
    """Returns the places of the bundle that a plan makes."""
    return PLACES[container_of(plan).name]


def is_bundle(path: Path) -> bool:
    """Returns whether a path names a bundle, by its name or the files in it, and not a checkpoint."""
    return places_of(path) is ONE_FILE or (path / NAME).is_file() or (path / "jang_config.json").is_file()


def may_be_bundle(path: Path) -> bool:
    """Returns whether a path is a folder or has the name of a one-file bundle, and so is not a recipe or a plan."""
    return path.is_dir() or places_of(path) is ONE_FILE
