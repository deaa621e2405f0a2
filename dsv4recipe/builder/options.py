"""Floor 4, builder. Everything that a caller may say about a build beside what is built, in one object."""

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
    """`workers` threads encode (None: one per core). `on_event` gets the events of the build.

    `source_sha256` maps source files to the digests that they must have. `importance` is the file that the plan was
    made with, where it was made with one. Of a source on the hub at most `scratch` bytes (None: 20 GiB) lie in
    `scratch_dir` (None: beside the output) at a time. `engine` makes the shards: threads here, or a Dask cluster. With
    `allow_zeros`, a matrix of the source may be nothing but zeros.
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
        """Returns how many threads encode here."""
        return self.workers or os.cpu_count() or 1
