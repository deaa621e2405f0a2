"""Floor 1, checkpoint. The source that a user names: a folder, or a repository of the hub. Looks for the folder."""

from __future__ import annotations

import os
from pathlib import Path

from dsv4recipe.checkpoint.source import FolderSource, Source
from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.hub.address import SCHEME, parse_address
from dsv4recipe.paths import as_path


def open_source(place: str | Path) -> Source:
    """The source that a user names: a folder, hf://org/repo@revision, or a plain org/repo where neither that folder nor
    one called org is here. A Path is always a folder. Raises RecipeError C001, H001-H009."""
    if isinstance(place, str):
        address = parse_address(place)
        if address is not None and (place.startswith(SCHEME) or not _is_here(place)):
            from dsv4recipe.checkpoint.hub_source import open_hub

            return open_hub(address, place)
    root = as_path(place)
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        hint = "give the folder that holds config.json and the safetensors files, or hf://org/repo"
        raise RecipeError("C001", f"{root} {what}", Where(str(root)), hint)
    return FolderSource(root)


def _is_here(place: str) -> bool:
    return os.path.lexists(place) or os.path.lexists(place.partition("/")[0])
