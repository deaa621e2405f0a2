"""Floor 6, cli. Makes the engine that `--engine` and `--scheduler` name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from dsv4recipe.builder.engine import Engine
from dsv4recipe.errors import RecipeError


def engine_of(
    name: str, scheduler: str | None, workers: int | None
) -> Callable[[Callable[[dict[str, Any]], None]], Engine]:
    """Returns a function that makes the engine from a listener. Raises UsageError for options that exclude each other,
    and RecipeError B050 if distributed is not installed."""
    if name == "local":
        if scheduler is not None:
            raise click.UsageError("--scheduler needs --engine dask")
        from dsv4recipe.builder.local import run_shards

        return lambda on_event: run_shards
    if scheduler is not None and workers is not None:
        raise click.UsageError("--workers applies only to workers on this machine, not to those of a scheduler")
    try:
        from dsv4recipe.builder.cluster.engine import DaskEngine
    except ImportError as error:
        hint = "run pip install 'dsv4recipe[cluster]'"
        raise RecipeError("B050", f"--engine dask needs Dask: {error}", hint=hint) from None
    return lambda on_event: DaskEngine(scheduler or "", on_event)
