"""Floor 4, builder, cluster. Turns the errors of workers into messages for the user. This module is pure."""

from __future__ import annotations

from typing import Any

from dsv4recipe.errors import Diagnostic, RecipeError, Where


def short(worker: str) -> str:
    """tcp://10.0.0.3:41234 → 10.0.0.3:41234"""
    return worker.rpartition("://")[2]


def refusal(diagnostics: list[dict[str, Any]], worker: str) -> RecipeError:
    """Returns the errors that a worker found, with the worker's name."""
    found = []
    for each in diagnostics:
        notes = (*each["notes"], f"on worker {short(worker)}")
        found.append(Diagnostic(**{**each, "where": Where(**each["where"]), "notes": notes}))
    return RecipeError.of(found)


def crash(what: str, shard: str, worker: str, folder: str) -> RecipeError:
    """Returns an unexpected error of a worker; `what` is its traceback."""
    message = f"worker {short(worker)} had an unexpected error while it made {shard}"
    hint = "run the build again, with either engine; if the error remains, report it"
    return RecipeError("B057", message, Where(folder), hint, what.splitlines())


def deadly(shard: str, workers: list[str], folder: str) -> RecipeError:
    """Returns the error for a shard during which too many workers died."""
    names = ", ".join(short(name) for name in workers)
    return RecipeError(
        "B055", f"{len(workers)} workers died while they made {shard}: {names}", Where(folder),
        "check a worker's log, where lack of memory is the usual reason; then run the build again, with either engine",
    )  # fmt: skip
