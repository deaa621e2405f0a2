"""Floor 4, builder, cluster. Says how long a build waits for workers or storage to return. This module is pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    """Time limits in seconds after which a build stops (it can be resumed): while the storage fails, and while there is
    no worker. `deaths` limits how many workers may die while they work on the same shard."""

    storage: float = 600.0
    workers: float = 300.0
    deaths: int = 10
