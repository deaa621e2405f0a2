"""Floor 2, runtimes. One bundle for several runtimes: a target, and no runtime of its own. Pure data."""

from __future__ import annotations

from dsv4recipe.runtimes.common.runtime import Runtime
from dsv4recipe.runtimes.universal.target import UNIVERSAL as TARGET

UNIVERSAL = Runtime("universal", "one bundle that several runtimes load", targets=(TARGET,))
