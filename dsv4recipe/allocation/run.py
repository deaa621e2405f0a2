"""Floor 3, allocation. Turns a recipe, a checkpoint and the user's options into a problem. Reads the files that the
options name, and the checkpoint's shards if errors are measured."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from dsv4recipe.allocation.error_table import SYNTHETIC, ErrorTable, read_errors
from dsv4recipe.allocation.importance import from_file, from_priors
from dsv4recipe.allocation.items import candidates
from dsv4recipe.allocation.measure import Asked, measure
from dsv4recipe.allocation.priors import read_priors
from dsv4recipe.allocation.problem import Problem
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.errors import RecipeError
from dsv4recipe.formats import Format
from dsv4recipe.plan.make import make_plan
from dsv4recipe.recipe.model import Recipe
from dsv4recipe.runtimes import get


@dataclass(frozen=True, slots=True)
class Wishes:
    """The options of an allocation, beside recipe, checkpoint and budget.

    `kinds` limits the candidates to these kinds of format. `per_layer` lets every layer of every role have its own
    format. `errors` is None (measure on the source), "synthetic", or a file. `sensitivity` and `priors` are files that
    replace the shipped priors' importance, and the priors themselves. `seed` and `sample` (blocks of 128 rows of a
    module) say what is measured.
    """

    kinds: tuple[str, ...] = ()
    per_layer: bool = False
    errors: str | None = None
    sensitivity: Path | None = None
    priors: Path | None = None
    seed: int = 0
    sample: int = 8
    workers: int | None = None


def prepare(
    recipe: Recipe, checkpoint: Checkpoint, wishes: Wishes, told: Callable[[int, int], None] = lambda done, all_: None
) -> Problem:
    """Returns what can be chosen, and what each choice costs. `told` is called with the number of measured modules.

    Raises RecipeError: what planning the recipe raises, A003 to A007, A009, A010, A012.
    """
    base = make_plan(recipe, checkpoint)
    target = get(recipe.target.runtime, checkpoint.family.name)
    priors = read_priors(wishes.priors)
    if wishes.per_layer:
        priors = replace(priors, roles={name: replace(role, by="layer") for name, role in priors.roles.items()})
    now: dict[str, Format] = {module.sources: module.format for module in base.modules}
    groups = [group for group in checkpoint.groups if group.names in now]
    formats = candidates(groups, priors, target, recipe.target.half, wishes.kinds)
    groups = [group for group in groups if group.names in formats]
    if not groups:
        hint = f"the kinds of format are {', '.join(sorted(priors.formats))}"
        raise RecipeError("A012", f"there is nothing to choose from for {target.name}", hint=hint)
    if wishes.sensitivity is not None:
        importance, said = from_file(wishes.sensitivity, groups, target, recipe.target.experts)
        why = f"{wishes.sensitivity.name}: {said}"
    else:
        importance = from_priors(groups, priors, checkpoint.dims)
        file = f" of {wishes.priors.name}" if wishes.priors else ""
        why = f"role priors{file}, which no measurement of this model backs"
    if wishes.errors is None:
        asked: list[Asked] = [(g, tuple(dict.fromkeys((*formats[g.names], now[g.names])))) for g in groups]
        workers = wishes.workers or os.cpu_count() or 1
        where = checkpoint.folder.source
        table = measure(asked, where, wishes.seed, wishes.sample, workers, lambda done: told(done, len(asked)))
    else:
        table = _table(wishes.errors)
    return Problem(recipe, checkpoint, base, priors, formats, importance, why, table)


def _table(name: str) -> ErrorTable:
    return read_errors(SYNTHETIC if name == "synthetic" else Path(name))
