"""Floor 5, api. `allocate` finds the formats that lose least within a byte budget, as an ordinary recipe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsv4recipe.allocation.budget import Budget, fitting, per_weight, sized
from dsv4recipe.allocation.machine import CONTEXT, RESERVE, Room, room
from dsv4recipe.allocation.outcome import allocation_data
from dsv4recipe.allocation.problem import Problem, Spent
from dsv4recipe.allocation.run import Wishes, prepare
from dsv4recipe.allocation.write import Written, write
from dsv4recipe.api.build import evidence_for
from dsv4recipe.api.subjects import AnyCheckpoint, AnyRecipe, as_checkpoint, as_recipe
from dsv4recipe.evaluation.shipped import shipped_evidence
from dsv4recipe.paths import as_path
from dsv4recipe.plan.model import Plan
from dsv4recipe.recipe.model import Recipe
from dsv4recipe.recipe.naming import recipe_name
from dsv4recipe.units import parse_size


@dataclass(frozen=True)
class Allocation:
    """What a budget buys. Without a budget only the curve is known, and `budget`, `spent` and `written` are None."""

    problem: Problem
    budget: Budget | None
    spent: Spent | None
    written: Written | None
    quality: str = ""
    """What the base recipe loses on text, with what that was measured on; "" where it is not known."""

    @property
    def recipe(self) -> Recipe | None:
        """Returns the new recipe."""
        return self.written.recipe if self.written else None

    @property
    def plan(self) -> Plan | None:
        """Returns the plan of the new recipe for the checkpoint."""
        return self.written.plan if self.written else None

    @property
    def text(self) -> str:
        """Returns the new recipe as YAML, with the evidence in its head; "" without a budget."""
        return self.written.text if self.written else ""

    def data(self, curve: bool = True) -> dict[str, Any]:
        """Returns the document that `allocate --json` prints. The curve costs one solution for each of its points."""
        return allocation_data(self.problem, self.budget, self.spent, self.written, curve, self.quality)


def allocate(
    recipe: AnyRecipe,
    checkpoint: AnyCheckpoint,
    *,
    budget: int | str | None = None,
    bits_per_weight: float | None = None,
    fits: str | None = None,
    context: int = CONTEXT,
    wired: int | None = None,
    reserve: int = RESERVE,
    formats: Sequence[str] = (),
    per_layer: bool = False,
    errors: str | Path | None = None,
    sensitivity: str | Path | None = None,
    priors: str | Path | None = None,
    seed: int = 0,
    sample: int = 8,
    workers: int | None = None,
    name: str = "allocated",
    command: str = "dsv4recipe.allocate",
    schema: str = "",
    evidence: str | Path | None = None,
    on_progress: Callable[[int, int], None] = lambda done, of: None,
    on_measured: Callable[[Problem], None] = lambda problem: None,
) -> Allocation:
    """Spends a byte budget over the formats that the recipe's runtime can run. The recipe gives source, target and the
    rules for everything that is not allocated.

    The budget is one of `budget` (bytes of all tensors, or a text such as "120GiB"), `bits_per_weight`, and `fits`, a
    machine such as "128GB-mac", which leaves its wired limit (`wired` bytes where that was set) less the KV cache of
    `context` tokens and `reserve` bytes; without one, only the curve is computed. `formats` limits the kinds of format,
    `per_layer` lets every layer of a role have its own. `errors` is a file of measured errors or "synthetic"; by
    default errors are measured on `sample` blocks of 128 rows of each module, drawn by `seed`, by so many `workers`.
    `sensitivity` and `priors` are files that replace the shipped importance of modules. `name`, `command` (what makes
    this recipe again) and `schema` (for an editor) are written into the recipe. `evidence` is a file of `evaluate -o`
    about the base recipe, whose figures the head of the new recipe names; of a shipped one they are known, on the
    yardstick. `on_progress` hears how many modules of how many are measured, `on_measured` gets the problem as soon as
    its errors are known.

    Raises TypeError for more than one budget, RecipeError A0xx and what `make_plan` raises.
    """
    if sum(value is not None for value in (budget, bits_per_weight, fits)) > 1:
        raise TypeError("allocate takes only one of budget, bits_per_weight and fits")
    base, source = as_recipe(recipe), as_checkpoint(checkpoint)
    left = None if fits is None else room(fits, source, context, reserve, wired)
    wishes = Wishes(
        kinds=tuple(formats),
        per_layer=per_layer,
        errors=None if errors is None else str(errors),
        sensitivity=None if sensitivity is None else as_path(sensitivity),
        priors=None if priors is None else as_path(priors),
        seed=seed,
        sample=sample,
        workers=workers,
    )
    problem = prepare(base, source, wishes, on_progress)
    on_measured(problem)
    quality = _quality(problem, evidence)
    wanted = _budget(problem, budget, bits_per_weight, left)
    if wanted is None:
        return Allocation(problem, None, None, None, quality)
    spent = problem.spend(wanted.bytes)
    title = recipe_name(name, "allocated")
    written = write(problem, spent, title, wanted.purpose, command, schema, quality)
    return Allocation(problem, wanted, spent, written, quality)


def _quality(problem: Problem, evidence: str | Path | None) -> str:
    if evidence is not None:
        return evidence_for(as_path(evidence), problem.base).sentence_for(problem.base)
    found = shipped_evidence(problem.base.recipe)
    return found.short if found else ""


def _budget(problem: Problem, size: int | str | None, bits: float | None, left: Room | None) -> Budget | None:
    if size is not None:
        return sized(problem, parse_size(size) if isinstance(size, str) else size)
    if bits is not None:
        return per_weight(problem, bits)
    return None if left is None else fitting(problem, left)
