"""Floor 1, checkpoint. Recognises folders that are not a source checkpoint and says what they are. Reads first
bytes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dsv4recipe.errors import RecipeError, Where

POINTER = b"version https://git-lfs.github.com/spec/"
_POINTER_MAX = 1024
"""The largest git-lfs pointer in bytes; a real one has about 130."""
_LARGE = (".safetensors", "tokenizer.json", ".index.json")
_METHODS = {
    "compressed-tensors": "compressed-tensors (vLLM)",
    "awq": "AWQ",
    "gptq": "GPTQ",
    "modelopt": "NVIDIA's ModelOpt (NVFP4)",
    "nvfp4": "NVFP4",
    "bitsandbytes": "bitsandbytes",
    "mxfp4": "another MXFP4 layout",
}


def refuse_pointers(root: Path) -> None:
    """Raises RecipeError C065 if files of a folder are git-lfs pointers, which stand for files not yet downloaded."""
    found = sorted(path.name for path in root.glob("*") if path.name.endswith(_LARGE) and _pointer(path))
    if found:
        message = f"{len(found):,} files here are git-lfs pointers, not the files themselves; the first is {found[0]}"
        hint = "run `git lfs install` and `git lfs pull` in the folder, or download it with `hf download`"
        raise RecipeError("C065", message, Where(str(root / found[0])), hint, found[1:])


def _pointer(path: Path) -> bool:
    try:
        if not path.is_file() or path.stat().st_size > _POINTER_MAX:
            return False
        with path.open("rb") as stream:
            return stream.read(len(POINTER)) == POINTER
    except OSError:
        return False


def refuse_quantized(config: Mapping[str, Any], place: str) -> None:
    """Raises RecipeError C066 if the config.json is that of a model that is already quantized."""
    where = Where(f"{place}/config.json")
    hint = "pass the checkpoint that it was made from; recipes start from the weights that the author published"
    made = config.get("quantization")
    if isinstance(made, Mapping) and "bits" in made:
        raise RecipeError(
            "C066", "this is an MLX bundle: it is already quantized and cannot be a source checkpoint", where, hint
        )
    section = config.get("quantization_config")
    method = section.get("quant_method") if isinstance(section, Mapping) else None
    if isinstance(method, str) and method.lower() in _METHODS:
        message = f"this model is already quantized by {_METHODS[method.lower()]} and cannot be a source checkpoint"
        raise RecipeError("C066", message, where, hint)


def snapshot_in(root: Path) -> Path:
    """Returns the one snapshot in a folder models--ORG--NAME of the hub's cache. Any other folder is returned
    unchanged.

    Raises RecipeError C067 if there are several snapshots, or none.
    """
    if not root.name.startswith("models--") or not (root / "snapshots").is_dir():
        return root
    found = sorted(path for path in (root / "snapshots").iterdir() if path.is_dir())
    if len(found) == 1:
        return found[0]
    message = f"this folder of the hub's cache holds {len(found):,} snapshots; exactly one is needed"
    hint = f"pass one of them, such as {found[0]}" if found else "`hf download` the repository first"
    raise RecipeError("C067", message, Where(str(root)), hint, [path.name for path in found])
