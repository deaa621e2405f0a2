"""Floor 3, bundle. Compares every byte of a bundle with its manifest. Reads files, writes none.

Files that the weights and a loader depend on must be unchanged since the build. Files that people edit (the card,
licences, the copy of the recipe) may differ, which gives a warning. Files that tools leave are ignored.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dsv4recipe.bundle.manifest import manifest_path, manifest_problem
from dsv4recipe.bundle.places import NAME, places_of
from dsv4recipe.errors import Diagnostic, Where
from dsv4recipe.headers.safe_path import path_problem
from dsv4recipe.headers.strict_json import reason
from dsv4recipe.paths import left_by_tools

_CHUNK = 1 << 20
_EDITED = re.compile(r"(?:README(?:\.upstream)?\.md|LICEN[CS]E[^/]*|NOTICE[^/]*|recipe\.yaml)", re.IGNORECASE)
"""Files that people edit, add or leave out. Neither weights nor loaders depend on them."""
_READ = re.compile(
    r".*\.(?:safetensors|py|jinja|model|tiktoken|bin|pt|pth|npz)|(?:vocab|merges)\.txt|"
    r".*(?:config|token|vocab|merges|template|processor|index|adapter|params|jang)[^/]*\.json",
    re.IGNORECASE,
)
"""Files that some loader reads if it finds them."""


def hash_file(path: Path, on_bytes: Callable[[int], None] = lambda count: None) -> tuple[int, str]:
    """Returns (size in bytes, sha256) of a file, read from the start; `on_bytes` hears of every stretch. Raises
    OSError."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
            on_bytes(len(chunk))
    return size, digest.hexdigest()


def check_files(
    folder: Path,
    manifest: Mapping[str, Any],
    ignore: frozenset[str] = frozenset(),
    known: Mapping[str, tuple[int, str]] = MappingProxyType({}),
    hashed: Callable[[str, Path], tuple[int, str]] = lambda name, path: hash_file(path),
) -> list[Diagnostic]:
    """Returns findings V010 to V014, V016 and V017: files that are missing, have another size or other bytes, were
    edited, are not listed or cannot be read, and a manifest that was changed. Every byte is read, except for files
    whose (size, sha256) somebody who stores them, such as the hub, has made `known`. `hashed` returns (size, sha256) of
    a file by its name and path."""
    listed = manifest.get("files")
    if not isinstance(listed, dict) or not listed:
        return [_finding("V014", "the manifest lists no files", manifest_path(folder))]
    found = _manifest(folder)
    for name, entry in sorted(listed.items()):
        try:
            found += _file(folder, name, entry, known.get(name), hashed)
        except OSError as error:
            found.append(_unreadable(name, error, folder / name))
    for name in sorted(places_of(folder).present(folder) - set(listed) - {NAME} - ignore):
        path, message = folder / name, f"{name} is not part of the bundle"
        if left_by_tools(name):
            continue
        if _READ.fullmatch(name):
            found.append(
                _finding("V013", message, path, "remove it, because loaders read such files if they find them")
            )
        else:
            found.append(_finding("V013", f"{message}; no loader reads it", path, "", "warning"))
    return found


def _manifest(folder: Path) -> list[Diagnostic]:
    """Compares the manifest with its own digest, if there is a manifest in this folder."""
    try:
        problem = manifest_problem(folder)
    except OSError as error:
        return [_unreadable(NAME, error, manifest_path(folder))]
    hint = "copy the file again, because nothing in it can be trusted"
    message = f"the manifest is not the one that was built: {problem}"
    return [_finding("V014", message, manifest_path(folder), hint)] if problem else []


def _file(
    folder: Path,
    name: str,
    entry: Any,
    known: tuple[int, str] | None,
    hashed: Callable[[str, Path], tuple[int, str]],
) -> list[Diagnostic]:
    """Compares a listed file with its entry."""
    path = places_of(folder).file(folder, name)
    wanted = (entry.get("size"), entry.get("sha256")) if isinstance(entry, dict) else (None, None)
    if path_problem(name) or type(wanted[0]) is not int or not isinstance(wanted[1], str):
        message = f"the manifest lists an unsafe name or a broken entry: {name!r:.300}"
        return [_finding("V014", message, manifest_path(folder))]
    if _EDITED.fullmatch(name):
        return _edited(name, path, wanted)
    if not path.is_file():
        return [_finding("V010", f"{name} is missing", path, "copy or build the bundle again")]
    size = path.stat().st_size
    if size != wanted[0]:
        message = f"{name} has {size:,} bytes, but the manifest says {wanted[0]:,}"
        return [_finding("V011", message, path, "copy the file again, because the copy is incomplete or too long")]
    if (known or hashed(name, path)) != wanted:
        message = f"{name} does not hold the bytes that were built (its sha256 differs)"
        return [_finding("V012", message, path, "copy the file again, because it was damaged or edited")]
    return []


def _edited(name: str, path: Path, wanted: tuple[object, object]) -> list[Diagnostic]:
    """Returns a warning about a file that people edit, because neither weights nor loaders depend on it."""
    if not path.is_file():
        message = f"{name} is missing; no loader needs it"
        hint = "restore it before you publish the bundle, because a licence often has to accompany the weights"
        return [_finding("V017", message, path, hint, "warning")]
    if path.stat().st_size == wanted[0] and hash_file(path) == wanted:
        return []
    message = f"{name} was edited after the build; no loader reads it, and everything else is checked without it"
    return [_finding("V017", message, path, "", "warning")]


def _unreadable(name: str, error: OSError, path: Path) -> Diagnostic:
    return _finding(
        "V016", f"{name} cannot be read: {reason(error)}", path, "copy the file again; the disk may be failing"
    )


def _finding(code: str, message: str, path: Path, hint: str = "", severity: str = "error") -> Diagnostic:
    return Diagnostic(code, message, Where(str(path)), hint, severity)
