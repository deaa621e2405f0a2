"""Floor 0. Paths as people type them, and what tools leave in folders. Asks the system for home folders, nothing else.

`~` is a home folder wherever a path is taken.
"""

from __future__ import annotations

import os
from pathlib import Path

from dsv4recipe.errors import RecipeError, Where


def expanded(text: str) -> str:
    """Returns `text` with a leading `~` or `~user` replaced by that home folder; anything else as it is.

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
    """Returns the path that a user means, `~` expanded as in `expanded`. Raises RecipeError U016."""
    found = Path(expanded(os.fspath(path)))
    return found.absolute() if str(found).startswith("~") else found  # Path makes "~x" of "./~x"


_LEFT = frozenset(("__MACOSX", "__pycache__", "@eaDir", "lost+found", "Thumbs.db", "desktop.ini"))


def left_by_tools(name: str) -> bool:
    """Whether a file (relative, posix) is what version control, download clients and desktops leave in a folder.

    Everything hidden is: .git, .gitattributes, .cache/huggingface, .DS_Store, ._x beside each x. No loader reads these.
    """
    return any(part.startswith(".") or part in _LEFT for part in name.split("/"))
