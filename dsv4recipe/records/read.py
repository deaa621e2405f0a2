"""Floor 1, records. `load_record` opens an activation record and compares it with its manifest. Reads files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.headers.safe_path import path_problem
from dsv4recipe.headers.safetensors import read_header
from dsv4recipe.importance.model import Guide
from dsv4recipe.importance.read import load_importance
from dsv4recipe.records.model import Layer, Record

NAME = "dsv4recipe.record.json"
VERSION = 1
_TYPES = {"I8": "i1", "BF16": "<u2", "F32": "<f4", "I32": "<i4", "I64": "<i8"}
_AGAIN = "record it again with `dsv4recipe calibrate`"


def load_guide(path: str | Path) -> Guide:
    """Returns an importance file or, if `path` is a folder, an activation record. Raises RecipeError I0xx or K0xx."""
    return load_record(path) if Path(path).is_dir() else load_importance(path)


def load_record(path: str | Path) -> Record:
    """Returns the record in the folder `path`. Its rows stay on disk and are mapped.

    Raises RecipeError K001 (no record, or an unfinished one), K002 (its files differ from the manifest).
    """
    root = Path(path)
    try:
        raw = (root / NAME).read_bytes()
        manifest = json.loads(raw)
        known = manifest["record"] == VERSION
        files = [(entry["layer"], entry["file"], entry["size"], entry["sha256"]) for entry in manifest["files"]]
    except FileNotFoundError:
        message = "this folder holds no finished activation record"
        raise RecipeError("K001", message, Where(str(root)), _AGAIN) from None
    except OSError as error:
        raise RecipeError("K001", f"the record cannot be read: {error.strerror}", Where(str(root))) from None
    except (ValueError, KeyError, TypeError) as error:
        raise RecipeError(
            "K002", f"this is not a manifest of a record: {error}", Where(str(root / NAME)), _AGAIN
        ) from None
    if not known:
        message = f"record version {manifest['record']} is unknown; this version reads {VERSION}"
        raise RecipeError("K002", message, Where(str(root / NAME)), _AGAIN)
    layers = {number: _layer(root, file, size, sha256) for number, file, size, sha256 in files}
    return Record(str(path), hashlib.sha256(raw).hexdigest(), manifest, layers)


def _layer(root: Path, file: str, size: int, sha256: str) -> Layer:
    """Returns one file with its tensors mapped. Size and header are checked here, its bytes by `Layer.proven`."""
    path = root / file
    try:
        header = None if path_problem(file) else read_header(path)
    except RecipeError as error:
        reason = error.diagnostics[0].message
        raise RecipeError("K002", f"a file of the record is damaged: {reason}", Where(str(path)), _AGAIN) from None
    if header is None or header.size != size:
        raise RecipeError("K002", "a file of the record differs from its manifest", Where(str(path)), _AGAIN)
    found: dict[str, Any] = {}
    for entry in header.tensors:
        kind = np.dtype(_TYPES[entry.dtype])
        flat = (
            np.memmap(path, kind, "r", entry.start, entry.nbytes // kind.itemsize)
            if entry.nbytes
            else np.empty(0, kind)
        )
        found[entry.name] = flat.reshape(entry.shape)
    return Layer(found, path, sha256)
