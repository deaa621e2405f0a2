"""Floor 2, runtimes. ds4, which loads one GGUF file. Pure data."""

from __future__ import annotations

from dsv4recipe.runtimes.common.runtime import Runtime
from dsv4recipe.runtimes.ds4.target import DS4 as TARGET

DS4 = Runtime("ds4", "antirez/ds4 (GGUF)", targets=(TARGET,), tested={"ds4": "2026-05-21"})
