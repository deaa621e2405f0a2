"""Floor 4, evaluation. The evidence of a shipped recipe, from the figures of the package. Pure.

Each is bound to what its recipe does: a recipe that was changed has none, whatever its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsv4recipe.evaluation.evidence import KIND, Evidence, recipe_digest
from dsv4recipe.evaluation.yardstick import measured


def shipped_evidence(recipe: Mapping[str, Any]) -> Evidence | None:
    """Returns what a recipe (as plans have it) loses on the yardstick; None where it was not measured or is not as
    shipped."""
    row = measured()["recipes"].get(recipe["name"])
    if row is None or row["recipe_digest"] != recipe_digest(recipe):
        return None
    shared = {key: measured()[key] for key in ("format_version", "source", "text", "versions")}
    return Evidence({"kind": KIND, **shared, **row})
