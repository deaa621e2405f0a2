"""Floor 1, headers. Checks file names from an index, a listing or a recipe. Reads links only.

A name passes if it is a plain relative path on every system (by POSIX and Windows rules) and leads to a place inside
its folder, also through symbolic links. docs/reference/checkpoint.md has the rules.
"""

from __future__ import annotations

import re
from pathlib import Path

from dsv4recipe.errors import RecipeError, Where

MAX_SEGMENT = 255
MAX_NAME = 4096
_DRIVE = re.compile(r"[A-Za-z]:")


def path_problem(name: str) -> str:
    """Returns why `name` is not a safe relative path, or "" if it is. Looks only at the text."""
    segments = name.split("/")
    rules = (
        (not name, "it is empty"),
        (not name.isprintable(), "it holds a character that cannot be printed"),
        ("\\" in name, "it holds a backslash"),
        (name.startswith("/"), "it is an absolute path"),
        (_DRIVE.match(name), "it names a drive"),
        (":" in name, "it holds a colon"),
        (".." in segments, 'it leaves its folder with ".."'),
        ("" in segments or "." in segments, "it holds an empty segment"),
        (len(name) > MAX_NAME, f"it is longer than {MAX_NAME:,} characters"),
        (
            any(len(s.encode(errors="replace")) > MAX_SEGMENT for s in segments),
            f"a part of it is longer than {MAX_SEGMENT} bytes",
        ),
        (any(s.endswith((".", " ")) for s in segments), "a part of it ends in a dot or a space"),
    )
    return next((text for broken, text in rules if broken), "")


def safe_path(root: Path, name: str, named_by: str) -> Path:
    """Returns `root`/`name` if the name is safe and leads to a place inside `root`. Nothing is opened.

    `named_by` is the file that holds the name, for the message. A link into the blob store that a hub cache keeps
    beside its snapshots counts as inside. Raises RecipeError C005.
    """
    problem = path_problem(name)
    path = root / name
    if not problem:
        try:
            real = path.resolve()
        except (OSError, RuntimeError):  # a link that leads to itself
            problem = "it is a link without a target"
        else:
            if not any(real.is_relative_to(allowed) for allowed in _roots(root.resolve())):
                problem = "it is a link that leads out of the folder"
    if problem:
        raise unsafe(name, problem, named_by)
    return path


def unsafe(name: str, problem: str, named_by: str) -> RecipeError:
    """Returns the error C005 for a name that the file `named_by` holds."""
    return RecipeError(
        "C005",
        f"the file name {name!r:.300} is refused: {problem}",
        Where(named_by),
        "find out who wrote this name before you use the folder",
    )


def _roots(root: Path) -> tuple[Path, ...]:
    """Returns the folder itself; for a snapshot in a hub cache (models--X/snapshots/REVISION) also models--X/blobs."""
    repository = root.parent.parent
    if root.parent.name == "snapshots" and repository.name.startswith("models--"):
        return (root, repository / "blobs")
    return (root,)
