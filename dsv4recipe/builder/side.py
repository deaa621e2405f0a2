"""Floor 4, builder. Makes the files beside the shards: the target's own, card, recipe, plan. Reads small source
files."""

from __future__ import annotations

from pathlib import Path

from dsv4recipe.advice.fit import machines
from dsv4recipe.builder.card import card
from dsv4recipe.bundle.manifest import INDEX_NAME, PLAN_NAME, index_text
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.checkpoint.source import Source
from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.files import disk
from dsv4recipe.headers.strict_json import TooLargeError
from dsv4recipe.plan.canonical import dump_plan
from dsv4recipe.plan.companions import side_input
from dsv4recipe.plan.model import Plan
from dsv4recipe.recipe.show import data_text
from dsv4recipe.runtimes import get

SMALL = 64 << 20
"""A side file of a source is read whole only up to this size in bytes."""


def plan_file(plan: Plan) -> dict[str, bytes]:
    """Returns only the plan, for a bundle that is one file: it stays in the work folder and goes into the manifest."""
    return {PLAN_NAME: dump_plan(plan).encode()}


def side_files(plan: Plan, checkpoint: Checkpoint, quality: str = "") -> dict[str, bytes]:
    """Returns name → content of every file of a folder bundle that is neither a shard nor the manifest. `quality` is
    what the card says about quality."""
    target = get(plan.target["runtime"], plan.source.family)
    source = checkpoint.folder.source
    side = side_input(plan, checkpoint)
    recipe_text = data_text(plan.recipe)
    made = {
        file.name: _read(source, file.copy_of) if file.copy_of else file.content for file in target.side_files(side)
    }
    return made | {
        "README.md": card(plan, target.library, recipe_text, made, quality, machines(plan, checkpoint)).encode(),
        "recipe.yaml": recipe_text.encode(),
        PLAN_NAME: dump_plan(plan).encode(),
        INDEX_NAME: index_text(plan).encode(),
    }


def _read(source: Source, name: str) -> bytes:
    try:
        return source.small(name, SMALL)
    except TooLargeError:
        hint = "leave it out of the source folder"
        raise RecipeError("B014", f"{name} is larger than a side file may be", Where(source.place), hint) from None
    except OSError:
        with disk.named_errors(Path(source.place, name), "reading the source"):
            raise
