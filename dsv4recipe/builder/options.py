"""Floor 4, builder. Holds all options of a build in one object."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsv4recipe.builder.engine import Engine
from dsv4recipe.builder.local import run_shards

if TYPE_CHECKING:
    from dsv4recipe.importance.model import Guide


@dataclass(frozen=True)
class BuildOptions:
    """The options of a build. `workers` threads encode (None: one per core). `on_event` gets the events of the build.

    `source_sha256` maps source files to the digests that they must have. `importance` is the file that the plan was
    made with, if any. If the source is on the hub, at most `scratch` bytes (None: 20 GiB) of it lie in `scratch_dir`
    (None: beside the output) at a time. `engine` makes the shards: threads here, or a Dask cluster. `allow_zeros`
    permits a matrix of the source to be all zeros.
    `evidence` is what `evaluate` measured, for the manifest; `quality` says it in words, with what it was measured on,
    for the card.
    """

    workers: int | None = None
    on_event: Callable[[dict[str, Any]], None] = lambda event: None
    source_sha256: Mapping[str, str] = field(default_factory=dict)
    importance: Guide | None = None
    scratch: int | None = None
    scratch_dir: str | Path | None = None
    engine: Engine = run_shards
    allow_zeros: bool = False
    evidence: Mapping[str, Any] | None = None
    quality: str = ""

    @property
    def threads(self) -> int:
        """Returns the number of threads that encode here."""
        return self.workers or os.cpu_count() or 1
