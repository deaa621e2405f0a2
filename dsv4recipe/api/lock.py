"""Floor 5, api. `lock` writes the text that pins what decides a bundle; `held_to` plans a recipe as its lock says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsv4recipe.api.subjects import AnyCheckpoint, as_checkpoint, as_importance
from dsv4recipe.builder.encoders import encoders_of
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.importance.model import Guide
from dsv4recipe.plan.diff import diff
from dsv4recipe.plan.diff_groups import ROWS, merged, named
from dsv4recipe.plan.lock import check_lock, content_digest, lock_text, read_lock
from dsv4recipe.plan.make import make_plan
from dsv4recipe.plan.model import Plan
from dsv4recipe.recipe.lineage import load_with_parents
from dsv4recipe.recipe.load import parse_recipe
from dsv4recipe.recipe.parents import is_file_reference
from dsv4recipe.recipe.show import data_text


@dataclass(frozen=True)
class Locked:
    """The plan of a recipe, and the text of the lock that pins it."""

    plan: Plan
    text: str


def lock_path(recipe: str) -> Path:
    """Returns house.lock beside house.yaml; the lock of a shipped recipe is in the working directory."""
    return Path(recipe).with_suffix(".lock") if is_file_reference(recipe) else Path(f"{recipe}.lock")


def lock(recipe: str | Path, checkpoint: AnyCheckpoint, *, importance: Guide | str | Path | None = None) -> Locked:
    """Pins what decides the tensors that a build of `recipe` (a file or a shipped name) writes: source, parents,
    tool, encoders and plan. Reads headers, never weights. `importance` is as in `make_plan`, whose errors it raises."""
    loaded, parents = load_with_parents(str(recipe), content_digest)
    source = as_checkpoint(checkpoint)
    plan = make_plan(loaded, source, as_importance(importance))
    return Locked(plan, lock_text(plan, source, parents, encoders_of(plan, machine=False)))


def locked_text(path: Path) -> str:
    """Returns the text of a lock. Raises RecipeError P051 if it is not text."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise RecipeError("P051", "this is not a lock", Where(str(path)), "`dsv4recipe lock` writes one") from None


def held_to(recipe: str, checkpoint: Checkpoint, path: Path, importance: Guide | None) -> Plan:
    """Returns the plan of a recipe whose lock at `path` is not stale. Raises RecipeError P050 (stale, with what
    changed), P051 (not a lock), P052 (no lock), P053 (not a recipe)."""
    if recipe.endswith(".json") or Path(recipe).is_dir():
        message = "only a recipe has a lock; plans and bundles pin themselves"
        raise RecipeError("P053", message, Where(recipe), "leave out --locked, or pass the recipe")
    now = lock(recipe, checkpoint, importance=importance)
    if not path.is_file():
        message = f"there is no lock at {path}"
        raise RecipeError("P052", message, Where(recipe), f"run dsv4recipe lock {recipe} --source SRC")
    text = locked_text(path)
    if text != now.text:
        check_lock(text, now.text, str(path), tuple(_consequences(read_lock(text, str(path)), now.plan, checkpoint)))
    return now.plan


def _consequences(locked: dict[str, Any], plan: Plan, checkpoint: Checkpoint) -> Iterator[str]:
    """Yields how the modules of the bundle change: the locked recipe compared with the present one, on this source."""
    if locked["recipe"] == plan.recipe:
        return
    try:
        before = make_plan(parse_recipe(data_text(locked["recipe"]), "the locked recipe"), checkpoint, plan.importance)
    except RecipeError:
        return
    found = diff(before, plan)
    if found.empty:
        yield "with this source, both plan to the same bundle"
        return
    changes = [*merged(found.removed), *merged(found.added), *merged(found.changed)]
    for change in changes[:ROWS]:
        words = " → ".join(word for word in (change.before, change.after) if word)
        yield f"{change.kind} {named(change)}: {words} ({change.bytes_delta:+,} B)"
    if len(changes) > ROWS:
        yield f"and {len(changes) - ROWS:,} more groups of modules"
    yield f"bundle: {found.bytes_delta:+,} B"
