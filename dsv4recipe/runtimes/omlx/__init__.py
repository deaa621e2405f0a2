"""Floor 2, runtimes. oMLX, which has the class of mlx-lm#1192. It is in no package registry. Pure data."""

from __future__ import annotations

from dsv4recipe.runtimes.common.runtime import Runtime
from dsv4recipe.runtimes.omlx.loaders import LOADERS
from dsv4recipe.runtimes.omlx.target import OMLX as TARGET

OMLX = Runtime("omlx", "oMLX", targets=(TARGET,), loaders=LOADERS)
