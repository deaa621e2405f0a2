"""Floor 3, bundle. Every byte of a bundle against its manifest. Reads files, writes none."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dsv4recipe.bundle.manifest import NAME
from dsv4recipe.checkpoint.safe_path import path_problem
from dsv4recipe.errors import Diagnostic, Where

_CHUNK = 1 << 20


def hash_file(path: Path) -> tuple[int, str]:
    """(size in bytes, sha256) of a file, read from the start. Raises OSError."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()


def check_files(folder: Path, manifest: Mapping[str, Any], ignore: frozenset[str] = frozenset()) -> list[Diagnostic]:
    """Findings V010 to V014: files missing, of another size, with other bytes, or that the manifest does not list."""
    listed = manifest.get("files")
    if not isinstance(listed, dict) or not listed:
        return [_finding("V014", "the manifest lists no files", folder / NAME)]
    found: list[Diagnostic] = []
    for name, entry in sorted(listed.items()):
        path = folder / name
        if path_problem(name) or not isinstance(entry, dict):
            found.append(
                _finding("V014", f"the manifest lists an unsafe name or a broken entry: {name!r}", folder / NAME)
            )
        elif not path.is_file():
            found.append(_finding("V010", f"{name} is missing", path, "copy or build the bundle again"))
        elif path.stat().st_size != entry.get("size"):
            message = f"{name} has {path.stat().st_size:,} bytes, the manifest says {entry.get('size'):,}"
            found.append(_finding("V011", message, path, "the copy was cut short or grew: copy the file again"))
        elif hash_file(path)[1] != entry.get("sha256"):
            message = f"{name} does not hold the bytes that were built (sha256 differs)"
            found.append(_finding("V012", message, path, "the file was damaged or edited: copy it again"))
    for name in sorted(_files(folder) - set(listed) - {NAME} - ignore):
        hint = (
            "remove it: loaders read every shard they find"
            if name.endswith(".safetensors")
            else "remove it, or ignore it"
        )
        found.append(_finding("V013", f"{name} is not part of the bundle", folder / name, hint))
    return found


def _files(folder: Path) -> set[str]:
    return {
        (Path(base) / name).relative_to(folder).as_posix()
        for base, _, names in os.walk(folder, followlinks=False)
        for name in names
    }


def _finding(code: str, message: str, path: Path, hint: str = "") -> Diagnostic:
    return Diagnostic(code, message, Where(str(path)), hint)
