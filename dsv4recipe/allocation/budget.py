"""Floor 3, allocation. How many bytes may be spent, and in whose words: a size, bits per weight, or a machine. This
module is pure."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from dsv4recipe.allocation.machine import Room
from dsv4recipe.allocation.problem import Problem
from dsv4recipe.errors import RecipeError
from dsv4recipe.units import human_size


@dataclass(frozen=True, slots=True)
class Budget:
    """Tensor bytes that may be spent, and for whom the recipe is, in words."""

    bytes: int
    purpose: str


def sized(problem: Problem, size: int) -> Budget:
    """Returns a budget in bytes. Raises RecipeError A002 above what is of use."""
    high = problem.limits[1]
    if size > high:
        message = f"the budget of {human_size(size)} is above what lowers the error"
        raise RecipeError("A002", message, hint=problem.range_words())
    return Budget(size, f"{problem.recipe.target.runtime}, within {human_size(size)} of tensors.")


def per_weight(problem: Problem, bits: float) -> Budget:
    """Returns a budget in bits per weight, over all stored weights, as `plan` prints them. Raises A002 as `sized`."""
    return sized(problem, int(Fraction(str(bits)) * problem.base.weights / 8))


def fitting(problem: Problem, room: Room) -> Budget:
    """Returns what a machine leaves. More than is of use is left free, and the words say so. Raises RecipeError A001
    where it leaves less than the smallest budget."""
    low, high, runtime = *problem.limits, problem.recipe.target.runtime
    if room.bytes < low:
        message = f"a Mac with {room.words()} leaves {human_size(room.bytes)}: less than the floors of {runtime} allow"
        raise RecipeError("A001", message, hint=f"{problem.range_words()}; a runtime with MXTQ goes lowest")
    free = f" Nothing above {human_size(high)} lowers the error; the rest stays free." if room.bytes > high else ""
    words = f"{runtime} on a Mac with {room.words()}; {human_size(room.bytes)} are left.{free}"
    return Budget(min(room.bytes, high), words)
