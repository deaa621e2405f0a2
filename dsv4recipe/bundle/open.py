"""Floor 3, bundle. A bundle opened for reading, whichever container it is. Reads headers, never weights."""

from __future__ import annotations

from pathlib import Path

from dsv4recipe.bundle.gguf_view import open_gguf
from dsv4recipe.bundle.manifest import is_one_file
from dsv4recipe.bundle.view import BundleView, open_folder
from dsv4recipe.errors import Diagnostic


def open_bundle(root: Path) -> tuple[BundleView, list[Diagnostic]]:
    """The view and what is wrong with files, headers and index (V020 to V024). A folder without config.json or shards
    raises RecipeError V020; a GGUF file what `open_gguf` raises."""
    return (open_gguf(root), []) if is_one_file(root) else open_folder(root)
