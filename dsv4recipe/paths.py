"""Floor 0. Handles paths as people type them, and names the files that tools leave in folders. Asks the system only
for home folders and the environment.

`~` stands for a home folder wherever a path is accepted.
"""

from __future__ import annotations

import os
from pathlib import Path

from dsv4recipe.errors import RecipeError, Where


def expanded(text: str) -> str:
    """Returns `text` with a leading `~` or `~user` replaced by that home folder. Any other text is returned unchanged.

    Raises RecipeError U016 if there is no such home folder: a path that begins with `~` never names a folder `~`.
    """
    if not text.startswith("~"):
        return text
    full = os.path.expanduser(text)
    if full.startswith("~"):
        user = text.partition("/")[0]
        hint = "correct the user name; to name a file that begins with ~, give its absolute path"
        raise RecipeError("U016", f"{text}: this system has no home folder {user}", Where(text), hint)
    return full


def as_path(path: str | os.PathLike[str]) -> Path:
    """Returns the path that a user means, with `~` replaced as in `expanded`. Raises RecipeError U016."""
    found = Path(expanded(os.fspath(path)))
    return found.absolute() if str(found).startswith("~") else found  # Path turns "./~x" into "~x"


def user_cache() -> Path:
    """Returns the folder for what this program keeps and can make again: in XDG_CACHE_HOME, else in ~/.cache (XDG Base
    Directory Specification). It need not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "dsv4recipe").expanduser()


_LEFT = frozenset(("__MACOSX", "__pycache__", "@eaDir", "lost+found", "Thumbs.db", "desktop.ini"))


def left_by_tools(name: str) -> bool:
    """Returns whether version control, download clients or desktops leave such a file (relative, posix) in a folder.

    This holds for every hidden file: .git, .gitattributes, .cache/huggingface, .DS_Store, ._x beside each x. No loader
    reads these.
    """
    return any(part.startswith(".") or part in _LEFT for part in name.split("/"))
