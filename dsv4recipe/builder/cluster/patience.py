"""Floor 4, builder, cluster. How long a build waits for what may come back. This module is pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds without any success before the build gives up, resumable: while the storage fails, and while there is no
    worker. `deaths`: of workers that had one and the same shard in work."""

    storage: float = 600.0
    workers: float = 300.0
    deaths: int = 10
