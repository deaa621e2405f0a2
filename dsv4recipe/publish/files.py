"""Floor 4, publish. Lists what is uploaded of a bundle: its files by name, with size and sha256. Reads small files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dsv4recipe.bundle.manifest import manifest_path, shard_path
from dsv4recipe.errors import Diagnostic, Where
from dsv4recipe.hub.repository import RemoteFile

CARD = "README.md"
_FRONT = {"license": "error", "library_name": "error", "base_model": "warning", "pipeline_tag": "warning"}
"""The fields that the hub filters by. A build never guesses a base model that it was not told."""

_HINT = "add it to README.md, because the hub filters and shows models by it"


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file to upload: its name in the repository, its path, its size in bytes, its sha256 in hex."""

    name: str
    path: Path
    size: int
    sha256: str

    def same(self, remote: RemoteFile) -> bool:
        """Returns whether the hub's file has this content, by size and by the digest that the hub keeps."""
        if remote.size != self.size:
            return False
        if remote.sha256:
            return remote.sha256 == self.sha256
        digest = remote.digest()
        digest.update(self.path.read_bytes())  # only small files; large ones are stored by their sha256
        return digest.hexdigest() == remote.blob


def files_of(bundle: Path, manifest: Mapping[str, Any]) -> tuple[LocalFile, ...]:
    """Returns every file that the manifest lists and that exists, weights first, and the manifest itself last.

    Files that people may edit are taken as they are now. The others have the digest of the manifest, with which a proof
    has compared them.
    """
    found = []
    for name, entry in manifest["files"].items():
        path = shard_path(bundle, name)
        if path.exists():
            weights = name.endswith((".safetensors", ".gguf"))
            found.append(LocalFile(name, path, entry["size"], entry["sha256"]) if weights else _now(name, path))
    last = manifest_path(bundle)
    found.sort(key=lambda file: (not file.name.endswith((".safetensors", ".gguf")), file.name))
    return (*found, _now(last.name, last))


def card_findings(bundle: Path) -> list[Diagnostic]:
    """Returns W003 for fields that the hub would miss in the card. A bundle that is one file has no card."""
    if bundle.is_file():
        return []
    path = bundle / CARD
    where = Where(str(path))
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return [
            Diagnostic(
                "W003", "the bundle has no card that can be read", where, "build the bundle again, or write a card"
            )
        ]
    parts = text.split("---\n", 2)
    try:
        front = yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0].strip() else None
    except yaml.YAMLError as error:
        return [Diagnostic("W003", f"the card's front matter is not YAML: {str(error).splitlines()[0]}", where)]
    if not isinstance(front, dict):
        hint = "begin the card with a line ---, the fields, and another line ---"
        return [Diagnostic("W003", "the card has no front matter", where, hint)]
    return [
        Diagnostic("W003", f"the card's front matter has no {key}", where, _HINT, severity)
        for key, severity in _FRONT.items()
        if not front.get(key)
    ]


def _now(name: str, path: Path) -> LocalFile:
    data = path.read_bytes()
    return LocalFile(name, path, len(data), hashlib.sha256(data).hexdigest())
