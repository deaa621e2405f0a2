"""Floor 1, recipe. Makes a valid recipe name from the name of a file. This module is pure."""

from __future__ import annotations

import re


def recipe_name(stem: str, otherwise: str) -> str:
    """Returns the valid recipe name (R024) that is nearest to a file's stem, or `otherwise` if nothing of the stem is
    left."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:64].rstrip("-._") or otherwise
