"""Floor 1, recipe. Lists the names that `target.runtime` may have beyond those of the schema. Reads entry points.

The runtimes themselves are two floors up; a recipe needs only their names.
"""

from __future__ import annotations

from functools import cache
from typing import Any

GROUP = "dsv4recipe.runtimes"
"""The group of entry points through which an installed package adds a runtime."""


@cache
def added_runtimes() -> tuple[str, ...]:
    """Returns the names of the runtimes that installed packages add."""
    from importlib.metadata import entry_points  # takes 20 ms, which shell completion saves

    return tuple(sorted({entry.name for entry in entry_points(group=GROUP)}))


def with_added(document: dict[str, Any]) -> dict[str, Any]:
    """Returns the schema of recipes with those runtimes added to its list. Changes the document in place."""
    listed = document["definitions"]["target"]["properties"]["runtime"]["enum"]
    listed += [name for name in added_runtimes() if name not in listed]
    return document
