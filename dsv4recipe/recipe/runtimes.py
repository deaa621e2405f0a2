"""Floor 1, recipe. The names that `target.runtime` may have beyond those of the schema. Reads entry points.

The runtimes themselves stand two floors up; a recipe needs their names only.
"""

from __future__ import annotations

from functools import cache
from typing import Any

GROUP = "dsv4recipe.runtimes"
"""The group of entry points by which an installed package adds a runtime."""


@cache
def added_runtimes() -> tuple[str, ...]:
    """Returns the runtimes that installed packages add, by name."""
    from importlib.metadata import entry_points  # 20 ms, which shell completion does without

    return tuple(sorted({entry.name for entry in entry_points(group=GROUP)}))


def with_added(document: dict[str, Any]) -> dict[str, Any]:
    """Returns the schema of recipes, its list of runtimes extended by those. The document is changed."""
    listed = document["definitions"]["target"]["properties"]["runtime"]["enum"]
    listed += [name for name in added_runtimes() if name not in listed]
    return document
