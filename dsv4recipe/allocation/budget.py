"""Floor 3, allocation. Computes how many bytes may be spent, from a size, bits per weight, or a machine. This module is
pure."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from dsv4recipe.allocation.machine import Room
from dsv4recipe.allocation.problem import Problem
from dsv4recipe.errors import RecipeError
from dsv4recipe.units import human_size


@dataclass(frozen=True, slots=True)
class Budget:
    """The tensor bytes that may be spent, and in words for whom the recipe is."""

    bytes: int
    purpose: str


def sized(problem: Problem, size: int) -> Budget:
    """Returns a budget in bytes. Raises RecipeError A002 if it is larger than useful."""
    high = problem.limits[1]
    if size > high:
        message = f"the budget of {human_size(size)} is larger than any that lowers the error"
        raise RecipeError("A002", message, hint=problem.range_words())
    return Budget(size, f"{problem.recipe.target.runtime}, within {human_size(size)} of tensors.")


def per_weight(problem: Problem, bits: float) -> Budget:
    """Returns a budget in bits per weight over all stored weights, as `plan` prints them. Raises A002 like `sized`."""
    return sized(problem, int(Fraction(str(bits)) * problem.base.weights / 8))


def fitting(problem: Problem, room: Room) -> Budget:
    """Returns what a machine leaves. If that is more than useful, the rest stays free and the words say so. Raises
    RecipeError A001 if it is less than the smallest budget."""
    low, high, runtime = *problem.limits, problem.recipe.target.runtime
    if room.bytes < low:
        left = f"a Mac with {room.words()} leaves {human_size(room.bytes)}"
        message = f"{left}, which is too little even for the lowest bits of {runtime}"
        raise RecipeError("A001", message, hint=f"{problem.range_words()}; a runtime with MXTQ needs the least")
    free = f" Nothing above {human_size(high)} lowers the error; the rest stays free." if room.bytes > high else ""
    words = f"{runtime} on a Mac with {room.words()}; {human_size(room.bytes)} are left.{free}"
    return Budget(min(room.bytes, high), words)
