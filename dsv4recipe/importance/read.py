"""Floor 1, importance. `load_importance` reads an imatrix file in either format, which its first bytes show."""

from __future__ import annotations

import hashlib
from pathlib import Path

from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.importance.dat import read_dat
from dsv4recipe.importance.gguf_file import read_gguf
from dsv4recipe.importance.model import Importance
from dsv4recipe.paths import as_path

_MAKE = "llama-imatrix and ds4 write such files"


def load_importance(path: str | Path) -> Importance:
    """Returns the importance file at `path`. That of a whole V4-Flash has 0.45 GB, and it stays in memory.

    Raises RecipeError I001 (cannot be read), I002 (not an imatrix, or broken), I003 (GGUF without the gguf package).
    """
    path = as_path(path)
    where = Where(str(path))
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RecipeError(
            "I001",
            f"the importance file cannot be read: {error.strerror}",
            where,
            "check the path, and that you may read the file",
        ) from None
    digest = hashlib.sha256(data).hexdigest()
    try:
        if data[:4] == b"GGUF":
            entries, datasets, chunks, unseen = read_gguf(path)
            return Importance(str(path), digest, "imatrix-gguf", entries, unseen, datasets, chunks)
        entries, datasets, chunks = read_dat(data)
        return Importance(str(path), digest, "imatrix-dat", entries, 0, datasets, chunks)
    except ImportError:
        hint = "run pip install 'dsv4recipe[gguf]'"
        raise RecipeError("I003", "reading a GGUF imatrix needs the gguf package", where, hint) from None
    except Exception as error:  # gguf passes on any error of numpy for a broken file
        reason = str(error) or type(error).__name__
        raise RecipeError("I002", f"this is not an importance file: {reason}", where, _MAKE) from None
