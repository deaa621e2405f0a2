"""Floor 1, recipe. Loads a recipe with the content of its parents, which a lock pins. Reads files and the hub."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dsv4recipe.errors import Problems, Where
from dsv4recipe.paths import expanded
from dsv4recipe.recipe.load import parse_recipe
from dsv4recipe.recipe.model import Recipe
from dsv4recipe.recipe.nodes import plain
from dsv4recipe.recipe.parents import is_file_reference, read_parent, read_shipped, read_text
from dsv4recipe.recipe.text import parse_text


def load_with_parents(
    reference: str | Path, digest: Callable[[Any], str]
) -> tuple[Recipe, tuple[tuple[str, str], ...]]:
    """Returns the flattened recipe and, per parent and nearest first, the reference as written and the `digest` of what
    the file says. Comments and layout of a parent do not count. Raises what `load_recipe` raises."""
    parents: list[tuple[str, str]] = []

    def remember(parent: str, child: str, where: Where) -> tuple[str, str]:
        file, text = read_parent(parent, child, where)
        parents.append((parent, digest(plain(parse_text(text, file, Problems())))))
        return file, text

    if isinstance(reference, Path) or is_file_reference(reference):
        file = expanded(os.fspath(reference))
        text = read_text(file, file, "R001")
    else:
        file, text = read_shipped(reference)
    return parse_recipe(text, file, remember), tuple(parents)
