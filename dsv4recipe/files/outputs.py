"""Floor 4, files. Applies one rule to every file that a command writes: never replace a file of another kind.

A file is replaced only if it is empty or of the same kind (a plan over a plan). Files that people write by hand, such
as recipes, are never replaced. `force` overrides this. Files appear completely or not at all.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.files.atomic import write_file
from dsv4recipe.paths import as_path

_READ = 256 << 20
"""How many bytes of an existing file are read; a larger one was not written by this program."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of output: its name in messages, and a test whether the content of a file is of that kind."""

    name: str
    ours: Callable[[bytes], bool]


def _object(*keys: str) -> Callable[[bytes], bool]:
    """Returns a test whether a file is a JSON object that has all of these keys."""

    def ours(content: bytes) -> bool:
        try:
            data = json.loads(content)
        except (ValueError, RecursionError):
            return False
        return isinstance(data, dict) and set(keys) <= set(data)

    return ours


PLAN = Kind("a plan", _object("format_version", "recipe", "target", "modules", "shards", "digest"))
QUALITY = Kind("an evidence file of `evaluate`", _object("format_version", "kind", "a", "kl", "text"))
LOCK = Kind("a lock", _object("lock", "plan", "recipe", "source", "tool"))
ERRORS = Kind("a table of measured errors", _object("format_version", "kind", "evidence", "errors"))
CONFIG = Kind("the config.json of a bundle", _object("model_type", "quantization"))
LOG = Kind("a log of a build", lambda content: b'"event":' in content.partition(b"\n")[0])
"""Lines are added to an older one."""
PAGE = Kind("a page of `report`", lambda content: b": dsv4recipe report</title>" in content[:65536])
RECIPE = Kind("a recipe", lambda content: False)
"""People edit recipes by hand, so an existing one is never replaced."""


def check_output(path: str | os.PathLike[str], kind: Kind, force: bool = False) -> Path:
    """Returns the path to write to, with `~` expanded and links followed. Call it before the work begins.

    Raises RecipeError U003 if there is something that the new file must not replace.
    """
    given = as_path(path)
    real = given.resolve()
    try:
        found = os.stat(real)
    except FileNotFoundError:
        return real
    except OSError as error:
        raise RecipeError("U002", f"{error.strerror}: {given}", Where(str(given))) from None
    if stat.S_ISDIR(found.st_mode):
        raise RecipeError(
            "U003", "there is a folder of this name", Where(str(given)), "write the name of a file in this folder"
        )
    if force or not stat.S_ISREG(found.st_mode) or not found.st_size:
        return real
    if found.st_size <= _READ and kind.ours(real.read_bytes()):
        return real
    if kind is RECIPE:
        message = "the file exists, and a recipe is never written over another file"
    else:
        message = f"the file exists and is not {kind.name}, so it is not replaced"
    raise RecipeError("U003", message, Where(str(given)), "choose another name, or add --force to replace this file")


def write_output(path: str | os.PathLike[str], text: str, kind: Kind, force: bool = False) -> None:
    """Writes `text` as UTF-8 to a file, completely or not at all. A pipe or device is written to directly.

    Raises RecipeError U003 like `check_output`, and B0xx if the disk fails.
    """
    real = check_output(path, kind, force)
    if real.exists() and not real.is_file():
        real.write_bytes(text.encode())
    else:
        write_file(real, text.encode())
