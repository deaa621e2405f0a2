"""Floor 3, bundle. Every byte of a bundle against its manifest. Reads files, writes none.

What the weights and a loader depend on must be as it was built. What people edit (the card, licences, the copy of the
recipe) may differ, and is reported as a warning. What tools leave beside it is not looked at.
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
"""What people edit, complete or leave out, and neither weights nor loaders depend on."""
_READ = re.compile(
    r".*\.(?:safetensors|py|jinja|model|tiktoken|bin|pt|pth|npz)|(?:vocab|merges)\.txt|"
    r".*(?:config|token|vocab|merges|template|processor|index|adapter|params|jang)[^/]*\.json",
    re.IGNORECASE,
)
"""What one loader or another reads when it finds it."""


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
    """Findings V010 to V014, V016 and V017: files missing, of another size, with other bytes, edited, unlisted or
    unreadable, and a manifest that is not as it was built. Every byte of the folder, or of the one file, is read, but
    for those files whose (size, sha256) somebody who keeps them, such as the hub, has made `known`. `hashed` gives
    (size, sha256) of a file by its name and path."""
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
            found.append(_finding("V013", message, path, "remove it: loaders read such files where they find them"))
        else:
            found.append(_finding("V013", f"{message}; no loader reads it", path, "", "warning"))
    return found


def _manifest(folder: Path) -> list[Diagnostic]:
    """Returns the manifest against its own digest, if it has come to this folder at all."""
    try:
        problem = manifest_problem(folder)
    except OSError as error:
        return [_unreadable(NAME, error, manifest_path(folder))]
    hint = "copy the file again: nothing it says can be trusted"
    message = f"the manifest is not the one that was built: {problem}"
    return [_finding("V014", message, manifest_path(folder), hint)] if problem else []


def _file(
    folder: Path,
    name: str,
    entry: Any,
    known: tuple[int, str] | None,
    hashed: Callable[[str, Path], tuple[int, str]],
) -> list[Diagnostic]:
    """Returns a listed file against its entry."""
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
        message = f"{name} has {size:,} bytes, the manifest says {wanted[0]:,}"
        return [_finding("V011", message, path, "the copy was cut short or grew: copy the file again")]
    if (known or hashed(name, path)) != wanted:
        message = f"{name} does not hold the bytes that were built (sha256 differs)"
        return [_finding("V012", message, path, "the file was damaged or edited: copy it again")]
    return []


def _edited(name: str, path: Path, wanted: tuple[object, object]) -> list[Diagnostic]:
    """Returns what became of a file that people edit: a warning, as neither weights nor loaders depend on it."""
    if not path.is_file():
        message = f"{name} is missing; no loader needs it"
        hint = "put it back before you publish the bundle: a licence often has to go with the weights"
        return [_finding("V017", message, path, hint, "warning")]
    if path.stat().st_size == wanted[0] and hash_file(path) == wanted:
        return []
    message = f"{name} was edited after the build; no loader reads it, and everything else is checked without it"
    return [_finding("V017", message, path, "", "warning")]


def _unreadable(name: str, error: OSError, path: Path) -> Diagnostic:
    return _finding("V016", f"{name} cannot be read: {reason(error)}", path, "the disk may be failing: copy it again")


def _finding(code: str, message: str, path: Path, hint: str = "", severity: str = "error") -> Diagnostic:
    return Diagnostic(code, message, Where(str(path)), hint, severity)
