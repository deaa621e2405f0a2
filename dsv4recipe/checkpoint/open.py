"""Floor 1, checkpoint. Opens the source that a user names: a folder, or a repository on the hub. Looks for the
folder."""

from __future__ import annotations

import os
import re
from pathlib import Path

from dsv4recipe.checkpoint.other_things import snapshot_in
from dsv4recipe.checkpoint.source import FolderSource, Origin, Source
from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.hub.address import SCHEME, parse_address
from dsv4recipe.paths import as_path


def open_source(place: str | Path) -> Source:
    """Returns the source that a user names: a folder, hf://org/repo@revision, or a plain org/repo if there is neither
    that folder nor one called org. A Path is always a folder. Raises RecipeError C001, H001-H009."""
    if isinstance(place, str):
        address = parse_address(place)
        if address is not None and (place.startswith(SCHEME) or not _is_here(place)):
            from dsv4recipe.checkpoint.hub_source import open_hub

            return open_hub(address, place)
    root = as_path(place)
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        hint = "pass the folder that holds config.json and the safetensors files, or hf://org/repo"
        if root.suffix == ".gguf":
            what, hint = (
                "is a GGUF file: it is already quantized and cannot be a source checkpoint",
                f"{hint}, that it was made from",
            )
        raise RecipeError("C001", f"{root} {what}", Where(str(root)), hint)
    root = snapshot_in(root)
    return FolderSource(root, snapshot_origin(root))


_SNAPSHOT = re.compile(r"models--(?P<org>[\w.-]+?)--(?P<name>[\w.-]+)")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def snapshot_origin(root: Path) -> Origin | None:
    """Returns the origin of a folder models--ORG--NAME/snapshots/COMMIT, as the hub's cache names its folders."""
    *_, repo, snapshots, commit = ("", "", "", *root.absolute().parts)
    found = _SNAPSHOT.fullmatch(repo)
    if found is None or snapshots != "snapshots" or not _COMMIT.fullmatch(commit):
        return None
    return Origin(f"{found['org']}/{found['name']}", commit, "cache")


def pinned(place: str, model: str, revision: str) -> str:
    """Returns a repository of the hub with the revision that a recipe pins, if it has none. Any other place is returned
    unchanged."""
    address = parse_address(place)
    if address is None or address.revision or address.repo != model or not revision:
        return place
    return f"{SCHEME}{model}@{revision}" if place.startswith(SCHEME) or not _is_here(place) else place


def said_to_be(origin: Origin | None, base_model: str) -> Origin:
    """Returns the origin that the user states as ORG/NAME or ORG/NAME@COMMIT. Raises RecipeError C064 for another form,
    and if the origin is already known to be another one."""
    address = parse_address(base_model)
    if address is None or base_model.startswith(SCHEME):
        message, hint = (
            f"{base_model!r:.200} is not the name of a repository on the hub",
            "write ORG/NAME, or ORG/NAME@COMMIT",
        )
        raise RecipeError("C064", message, hint=hint)
    if origin is not None and (
        origin.repo != address.repo or (address.revision and origin.commit and origin.commit != address.revision)
    ):
        message = f"--base-model says {base_model}, but the source is {origin.repo} at {origin.commit or 'no commit'}"
        raise RecipeError("C064", message, hint="leave out --base-model: the origin of this source is known")
    return origin or Origin(address.repo, address.revision, "user")


def _is_here(place: str) -> bool:
    return os.path.lexists(place) or os.path.lexists(place.partition("/")[0])
