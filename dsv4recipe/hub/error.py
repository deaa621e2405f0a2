"""Floor 1, hub. The one error of the room. This module is pure."""

from __future__ import annotations

from dsv4recipe.errors import RecipeError


class HubError(RecipeError):
    """The hub fails or refuses (H0xx). Unlike a broken file it ends a reading at once: the next file would say the
    same."""
