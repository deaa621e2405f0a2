"""Floor 1, hub. Defines the one error of the room. This module is pure."""

from __future__ import annotations

from dsv4recipe.errors import RecipeError


class HubError(RecipeError):
    """The hub fails or refuses (H0xx). Unlike a broken file, this stops reading at once, because the next file would
    fail too."""
