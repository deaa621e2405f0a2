"""Floor 0. Paths as people type them: `~` is a home folder wherever a path is taken. Asks for home folders."""

from __future__ import annotations

import os
from pathlib import Path

from dsv4recipe.errors import RecipeError, Where


def expanded(text: str) -> str:
    """`text` with a leading `~` or `~user` replaced by that home folder; anything else as it is.

    Raises RecipeError U016 where there is no such home folder: a path that begins with `~` never names a folder `~`.
    """
    if not text.startswith("~"):
        return text
    full = os.path.expanduser(text)
    if full.startswith("~"):
        user = text.partition("/")[0]
        hint = "mend the user's name; a file whose name begins with ~ is named by its absolute path"
        raise RecipeError("U016", f"{text}: this system knows no home folder {user}", Where(text), hint)
    return full


def as_path(path: str | os.PathLike[str]) -> Path:
    """The path that a user means, `~` expanded as in `expanded`. Raises RecipeError U016."""
    found = Path(expanded(os.fspath(path)))
    return found.absolute() if str(found).startswith("~") else found  # Path makes "~x" of "./~x"
