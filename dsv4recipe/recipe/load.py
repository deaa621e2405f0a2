"""Floor 1, recipe. Loads a recipe by file or name, or from its text. `load_recipe` reads files."""

from __future__ import annotations

import os
from pathlib import Path

from dsv4recipe.errors import Where
from dsv4recipe.paths import expanded
from dsv4recipe.recipe.build import build
from dsv4recipe.recipe.extends import Parents, read_draft
from dsv4recipe.recipe.git import SCHEME, without_password
from dsv4recipe.recipe.model import Recipe
from dsv4recipe.recipe.parents import is_file_reference, read_parent, read_shipped, read_text


def parse_recipe(text: str, file: str, parents: Parents | None = None) -> Recipe:
    """Returns the flattened recipe of a text. `file` names it in messages; `parents` reads the recipes it extends.

    It is pure if `parents` is. Raises only RecipeError (R002 to R044), with all errors of a file at once.
    """
    return build(read_draft(text, file, parents))


def load_recipe(reference: str | Path) -> Recipe:
    """Returns a recipe by path (it ends with .yaml or .yml, or holds a separator), by the name of a shipped recipe, or
    from the hub: hf://org/repo/path.yaml@COMMIT, or from git: git+https://host/org/repo@COMMIT#path.yaml.

    Raises RecipeError: R001 (unreadable), R050 (no such name), and what `parse_recipe` raises.
    """
    file, text = _read(reference)
    return parse_recipe(text, file, read_parent)


def _read(reference: str | Path) -> tuple[str, str]:
    if isinstance(reference, str) and reference.startswith(("hf://", SCHEME)):
        return read_parent(reference, "", Where(without_password(reference)))
    if isinstance(reference, Path) or is_file_reference(reference):
        file = expanded(os.fspath(reference))
        return file, read_text(file, file, "R001")
    return read_shipped(reference)
