"""Floor 3, bundle. Opens a bundle for reading, with one strategy per container. Reads headers and JSON files."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dsv4recipe.bundle.as_planned import folder_as_planned, one_file_as_planned
from dsv4recipe.bundle.gguf_view import metadata_differences, open_gguf
from dsv4recipe.bundle.manifest import PLAN_NAME, read_manifest
from dsv4recipe.bundle.places import FOLDER, ONE_FILE, Places, places_of
from dsv4recipe.bundle.side import Fact, folder_differences
from dsv4recipe.bundle.view import BundleView, open_folder
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.errors import Diagnostic
from dsv4recipe.headers.strict_json import read_object
from dsv4recipe.plan.canonical import load_plan
from dsv4recipe.plan.expected import expected_checkpoint
from dsv4recipe.plan.model import Plan

_JSON_LIMIT = 64 << 20


@dataclass(frozen=True)
class Reading:
    """Describes how one container is read. `open` returns the view and what is wrong with it. `plan_inside` returns the
    plan that the bundle carries, or None. `as_planned` says whether its headers are those of a plan. `expected` returns
    the checkpoint that it must come from. `differences` yields what differs in the small files, or key/values, of two
    such bundles."""

    places: Places
    open: Callable[[Path], tuple[BundleView, list[Diagnostic]]]
    plan_inside: Callable[[Path], Plan | None]
    as_planned: Callable[[Path, Plan], bool]
    expected: Callable[[Path], Checkpoint]
    differences: Callable[[Path, Path], tuple[Fact, ...]]


def _plan_of_folder(root: Path) -> Plan | None:
    path = root / PLAN_NAME
    return load_plan(path.read_text(encoding="utf-8"), str(path)) if path.is_file() else None


def _plan_of_file(root: Path) -> Plan | None:
    contents = (read_manifest(root) or {}).get("contents")
    return None if contents is None else load_plan(json.dumps(contents), str(ONE_FILE.manifest(root)))


def _expected_of_folder(root: Path) -> Checkpoint:
    return expected_checkpoint(read_object(root / "config.json", _JSON_LIMIT, "config.json", "V022")[0], str(root))


def _expected_of_file(root: Path) -> Checkpoint:
    said = open_gguf(root).json
    return expected_checkpoint(said["config.json"], str(root), {"tokenizer.json": dict(said["tokenizer.json"])})


READINGS = (
    Reading(
        places=FOLDER,
        open=open_folder,
        plan_inside=_plan_of_folder,
        as_planned=folder_as_planned,
        expected=_expected_of_folder,
        differences=folder_differences,
    ),
    Reading(
        places=ONE_FILE,
        open=lambda root: (open_gguf(root), []),
        plan_inside=_plan_of_file,
        as_planned=one_file_as_planned,
        expected=_expected_of_file,
        differences=metadata_differences,
    ),
)


def reading_of(root: Path) -> Reading:
    """Returns how the bundle of this name is read."""
    places = places_of(root)
    return next(reading for reading in READINGS if reading.places is places)


def open_bundle(root: Path) -> tuple[BundleView, list[Diagnostic]]:
    """Returns the view and what is wrong with files, headers and index (V020 to V024).

    Raises RecipeError V020 if it is not a bundle, C060 to C062 for a GGUF file whose header is broken.
    """
    return reading_of(root).open(root)


def plan_inside(root: Path) -> Plan | None:
    """Returns the plan that a bundle carries, or None. Raises RecipeError P020, P021 and UnicodeDecodeError."""
    return reading_of(root).plan_inside(root)


def as_planned(root: Path, plan: Plan) -> bool:
    """Returns whether sizes, headers and quantization of the bundle at `root` are exactly those of the plan."""
    return reading_of(root).as_planned(root, plan)


def expected_of(root: Path) -> Checkpoint:
    """Returns the checkpoint that a bundle must come from, by its configuration: names and shapes, without weights."""
    return reading_of(root).expected(root)


def side_differences(before: Path, after: Path) -> tuple[Fact, ...]:
    """Returns (what, before, after) for the differences in the small files of two folders, or in the key/values of two
    files. A file and a folder have none of these in common."""
    old, new = reading_of(before), reading_of(after)
    return old.differences(before, after) if old is new else ()
