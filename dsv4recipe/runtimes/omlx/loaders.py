"""Floor 2, runtimes. Describes what oMLX does with a bundle when it loads it: read at jundot/omlx 0d51bce0, not run.
This module is pure."""

from __future__ import annotations

from dsv4recipe.runtimes.common.loader import Loader
from dsv4recipe.runtimes.common.rules import else_global
from dsv4recipe.runtimes.common.sanitize import pr1192
from dsv4recipe.runtimes.omlx.target import OMLX as TARGET

LOADERS = (Loader("omlx", "as of 0d51bce0", TARGET, ("omlx", "universal"), else_global, pr1192, audits=("float16",)),)
