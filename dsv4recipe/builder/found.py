"""Floor 4, builder. What lies at the output and beside it, before a build: finished, unfinished, or not ours."""

from __future__ import annotations

import os
from pathlib import Path

from dsv4recipe.builder import journal, lease
from dsv4recipe.builder.publish import OWN, OWN_OF_FILE
from dsv4recipe.bundle.files import check_files
from dsv4recipe.bundle.manifest import PLAN_NAME, is_one_file, manifest_path, read_manifest
from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.files import disk
from dsv4recipe.files.atomic import write_file
from dsv4recipe.plan.canonical import load_plan
from dsv4recipe.plan.containers import container_of
from dsv4recipe.plan.model import Plan
from dsv4recipe.units import counted


def is_finished(out: Path, plan: Plan) -> bool:
    if not os.path.lexists(out):
        if is_one_file(out) and os.path.lexists(manifest_path(out)):
            beside = read_manifest(out)
            if beside is None or beside.get("plan") != plan.digest:
                path, hint = Where(str(manifest_path(out))), "choose another output, or move this file away"
                what = "a file that is no manifest" if beside is None else "the manifest of another file"
                raise RecipeError("B001", f"{what} is in the way", path, hint)
        return False
    found = read_manifest(out)
    if found is None:
        hint = "choose another output, or move this folder away"
        raise RecipeError("B001", "the output exists and is not a finished dsv4recipe bundle", Where(str(out)), hint)
    if found.get("plan") != plan.digest:
        notes = (f"it was built from plan {found.get('plan')}", f"this is plan {plan.digest}")
        hint = "choose another output, or move this folder away"
        raise RecipeError("B001", "the output holds the bundle of another plan", Where(str(out)), hint, notes)
    return True


def is_complete(partial: Path, plan: Plan) -> bool:
    """Whether a build died between its manifest and its last rename, with every byte in place."""
    found = read_manifest(partial)
    leftovers = OWN_OF_FILE if container_of(plan).one_file else OWN
    return found is not None and found.get("plan") == plan.digest and not check_files(partial, found, leftovers)


def adopt(partial: Path, plan: Plan, text: bytes) -> None:
    """Makes sure that a partial folder belongs to this plan, whose file is `text`, and sweeps what a killed build left
    in it. The plan is the first file written: whatever lies there without it is not ours."""
    path = partial / PLAN_NAME
    with disk.named_errors(path, "reading"):
        found = disk.read_small(path)
    if found is not None and found != text:
        source = ""
        try:
            other = load_plan(found.decode(), str(path))
            name = f"plan {other.digest}"
            if other.source.revision != plan.source.revision:
                source = f" of {other.source.model} at {other.source.revision or 'no revision'}"
        except (RecipeError, ValueError):
            name = "a plan that this version cannot read"
        shards = counted(journal.lines(partial), "finished shard")
        notes = (f"it is of {name}{source}, with {shards}", f"this is plan {plan.digest}")
        raise RecipeError(
            "B003", "unfinished work of another plan is in the way", Where(str(partial)),
            "finish that build, or remove the folder", notes,
        )  # fmt: skip
    known = (lease.NAME, PLAN_NAME)
    strays = [p.name for p in partial.iterdir() if p.name not in known and not p.name.startswith(".")]
    if found is None and strays:
        message = f"the folder holds files that no build of this plan made: {', '.join(sorted(strays)[:5])}"
        raise RecipeError("B003", message, Where(str(partial)), "remove the folder")
    disk.sweep(partial)
    if found is None:
        write_file(path, text)
