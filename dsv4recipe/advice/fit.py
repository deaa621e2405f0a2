"""Floor 3, advice. Computes whether a plan fits a machine, by how much, and from which terms. This module is pure."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from dsv4recipe.allocation.machine import CONTEXT, RESERVE, Room, room
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.errors import RecipeError
from dsv4recipe.plan.model import Plan
from dsv4recipe.recipe.model import Recipe
from dsv4recipe.units import human_size

MACS = tuple(f"{memory}GB-mac" for memory in (64, 96, 128, 192, 256, 512))
"""Memory sizes of Macs that people run models of this size on."""

_SAID = re.compile(
    r"(?<![0-9])(?P<memory>[1-9][0-9]{1,2}) ?-?GB(?=[- ]?Macs?\b)|^fits-(?P<name>[1-9][0-9]{1,2})gb", re.I
)


@dataclass(frozen=True, slots=True)
class Fit:
    """A plan on a machine. `weights` are the bytes that the runtime loads, `idle` those of the bundle that it does not
    load (prediction stages without a module). `room` is what the machine leaves for weights."""

    machine: str
    weights: int
    idle: int
    room: Room

    @property
    def spare(self) -> int:
        """Returns the bytes that stay free; negative if the plan does not fit."""
        return self.room.bytes - self.weights

    @property
    def fits(self) -> bool:
        return self.spare >= 0

    def words(self) -> str:
        """Returns the verdict and the sum, in sentences."""
        verdict = (
            f"fits {self.machine}: {human_size(self.spare)} stay free"
            if self.fits
            else f"does not fit {self.machine}: {human_size(-self.spare)} too much"
        )
        idle = f" {human_size(self.idle)} of the bundle are not loaded by this runtime." if self.idle else ""
        return f"{verdict}. The weights take {human_size(self.weights)}; the room is {self.room.words()}.{idle}"

    def data(self) -> dict[str, Any]:
        """Returns the data for JSON; sizes are in bytes."""
        return {
            "machine": self.machine, "fits": self.fits, "spare": self.spare, "weights": self.weights, "idle": self.idle,
            "wired": self.room.wired, "kv": self.room.kv, "context": self.room.context, "reserve": self.room.reserve,
        }  # fmt: skip


def fit(
    plan: Plan,
    checkpoint: Checkpoint,
    machine: str,
    context: int = CONTEXT,
    reserve: int = RESERVE,
    wired: int | None = None,
) -> Fit:
    """Returns how `plan` fits `machine` ("128GB-mac") with `context` tokens of KV cache. All sizes are bytes.

    `wired` replaces the rule for the wired limit. Raises RecipeError A008 for an unknown machine or one that leaves
    nothing.
    """
    idle = sum(module.bytes for module in plan.modules if module.path is None)
    return Fit(machine, plan.tensor_bytes - idle, idle, room(machine, checkpoint, context, reserve, wired))


def machines(plan: Plan, checkpoint: Checkpoint) -> tuple[Fit, ...]:
    """Returns how `plan` fits each of `MACS` that leaves room for weights at all, smallest first."""
    found = []
    for machine in MACS:
        with suppress(RecipeError):  # A008: the cache alone fills it
            found.append(fit(plan, checkpoint, machine))
    return tuple(found)


def machine_said(recipe: Recipe) -> str:
    """Returns the machine that a recipe's name or summary mentions ("fits-192gb", "for a 192 GB Mac"), or ""."""
    for text in (recipe.name, recipe.summary):
        found = _SAID.search(text)
        if found:
            return f"{found['memory'] or found['name']}GB-mac"
    return ""
