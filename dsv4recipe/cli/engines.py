"""Floor 6, cli. The engine that `--engine` and `--scheduler` name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from dsv4recipe.builder.engine import Engine
from dsv4recipe.errors import RecipeError


def engine_of(
    name: str, scheduler: str | None, workers: int | None
) -> Callable[[Callable[[dict[str, Any]], None]], Engine]:
    """Returns a function of the listener that makes the engine. Raises UsageError for options that do not go together,
    and RecipeError B050 where distributed is not installed."""
    if name == "local":
        if scheduler is not None:
            raise click.UsageError("--scheduler needs --engine dask")
        from dsv4recipe.builder.local import run_shards

        return lambda on_event: run_shards
    if scheduler is not None and workers is not None:
        raise click.UsageError("--workers is for workers on this machine; a scheduler has those that it has")
    try:
        from dsv4recipe.builder.cluster.engine import DaskEngine
    except ImportError as error:
        hint = "pip install 'dsv4recipe[cluster]'"
        raise RecipeError("B050", f"--engine dask needs Dask: {error}", hint=hint) from None
    return lambda on_event: DaskEngine(scheduler or "", on_event)
