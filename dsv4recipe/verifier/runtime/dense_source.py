"""Floor 4, verifier (step 4). A source as the child reads it: its folder, or a list of where its tensors are.

The child reads a source by itself, and knows the release's names and storage only. Of a source under other names, or in
other files than its index says, it gets a list of the tensors: their names as the release has them, and their places.
What the bytes mean it still decides for itself.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dsv4recipe.checkpoint.graph import Checkpoint, Tensor
from dsv4recipe.headers.safetensors import TensorEntry

NAME = "source.json"


@contextlib.contextmanager
def readable(checkpoint: Checkpoint) -> Iterator[Path]:
    """Yields the folder of a source that is as releases are, or the file that lists the tensors of any other. Raises
    RecipeError H012 if the source is not on this machine."""
    root = checkpoint.folder.root
    if _as_released(checkpoint):
        yield root
        return
    with tempfile.TemporaryDirectory(prefix="dsv4recipe-source-") as folder:
        listed = Path(folder, NAME)
        listed.write_text(json.dumps(_listed(checkpoint, root.resolve())), encoding="utf-8")
        yield listed


def _as_released(checkpoint: Checkpoint) -> bool:
    stored = (tensor for tensor in checkpoint.tensors if tensor.scale is not None)
    usual = all(
        each.scale is not None and each.scale.dtype == "F8_E8M0" and each.weight.dtype != "U8" for each in stored
    )
    same = checkpoint.config == checkpoint.folder.config
    return usual and same and not checkpoint.dialect and not checkpoint.folder.notes


def _listed(checkpoint: Checkpoint, root: Path) -> dict[str, Any]:
    tensors = {tensor.name: _places(tensor) for tensor in checkpoint.tensors}
    return {"root": str(root), "config": checkpoint.config, "tensors": tensors}


def _places(tensor: Tensor) -> list[dict[str, Any]]:
    """Returns where the weight lies and, if there is one, its scale."""
    places = [_place(tensor.file, tensor.weight)]
    return places if tensor.scale is None else [*places, _place(tensor.scale_file, tensor.scale)]


def _place(file: str, entry: TensorEntry) -> dict[str, Any]:
    return {"file": file, "dtype": entry.dtype, "shape": list(entry.shape), "start": entry.start, "end": entry.end}
