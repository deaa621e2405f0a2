"""Floor 4, calibration. Makes a record's manifest. Pure, except for the write that makes a folder a record."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dsv4recipe.calibration.recorder import journalled
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.files.atomic import write_file
from dsv4recipe.records.names import ENTRIES
from dsv4recipe.records.read import NAME, VERSION
from dsv4recipe.version import VERSION as TOOL


def manifest(
    checkpoint: Checkpoint, text: dict[str, Any], tokens: int, entries: Sequence[str], kind: str
) -> dict[str, Any]:
    """Returns everything except the list of files. It holds no time, host or path, so the same text and source give the
    same record."""
    folder = checkpoint.folder
    return {
        "record": VERSION,
        "tool": {"name": "dsv4recipe", "version": TOOL},
        "source": {"config_digest": folder.config_digest, "header_digest": folder.header_digest},
        "swiglu_limit": float(checkpoint.config.get("swiglu_limit") or 0.0),
        "text": text,
        "tokens": tokens,
        "entries": [entry for entry in ENTRIES if entry in entries],
        "rows": kind,
    }


def write_manifest(folder: Path, data: dict[str, Any]) -> None:
    """Adds the files that the journal names, and writes the manifest, which completes a record."""
    files = journalled(folder)
    named = [files[key] for key in sorted(files, key=lambda key: (key is None, key or 0))]
    write_file(folder / NAME, (json.dumps(data | {"files": named}, sort_keys=True, indent=1) + "\n").encode())
