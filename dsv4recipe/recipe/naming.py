"""Floor 1, recipe. A name of the language from the name of a file. This module is pure."""

from __future__ import annotations

import re


def recipe_name(stem: str, otherwise: str) -> str:
    """Returns the name of the language (R024) that is nearest to a file's stem; `otherwise` where nothing of it is
    left."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:64].rstrip("-._") or otherwise
