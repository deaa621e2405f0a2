"""Floor 4, builder, cluster. What workers answer, in words for the user. This module is pure."""

from __future__ import annotations

from typing import Any

from dsv4recipe.errors import Diagnostic, RecipeError, Where


def short(worker: str) -> str:
    """tcp://10.0.0.3:41234 → 10.0.0.3:41234"""
    return worker.rpartition("://")[2]


def refusal(diagnostics: list[dict[str, Any]], worker: str) -> RecipeError:
    """Returns what a worker found, with its name."""
    found = []
    for each in diagnostics:
        notes = (*each["notes"], f"on worker {short(worker)}")
        found.append(Diagnostic(**{**each, "where": Where(**each["where"]), "notes": notes}))
    return RecipeError.of(found)


def crash(what: str, shard: str, worker: str, folder: str) -> RecipeError:
    """Returns an error that nobody foresaw; `what` is its traceback."""
    message = f"an unexpected error on worker {short(worker)} while it made {shard}"
    hint = "build again, with either engine; report this if it stays"
    return RecipeError("B057", message, Where(folder), hint, what.splitlines())


def deadly(shard: str, workers: list[str], folder: str) -> RecipeError:
    """Returns a shard that too many workers died of."""
    names = ", ".join(short(name) for name in workers)
    return RecipeError(
        "B055", f"{len(workers)} workers died while they made {shard}: {names}", Where(folder),
        "look into a worker's log: memory is the usual reason; then build again, with either engine",
    )  # fmt: skip
