"""Floor 1, checkpoint. Recognises folders that are not a source checkpoint and says what they are. Reads first
bytes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
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
    "auto-round": "AutoRound",
    "hqq": "HQQ",
    "quanto": "Quanto",
    "torchao": "torchao",
    "fbgemm_fp8": "FBGEMM",
    "bitnet": "BitNet",
    "aqlm": "AQLM",
    "vptq": "VPTQ",
    "exl2": "ExLlamaV2",
    "exl3": "ExLlamaV3",
}
_LEFT_BY_QUANTIZERS = {
    "hf_quant_config.json": "NVIDIA's ModelOpt (NVFP4)",
    "quantize_config.json": "GPTQ or AWQ",
    "quant_config.json": "AWQ",
    "jang_config.json": "JANG (an MLX bundle)",
}
"""Files that tools write beside a model that they quantized."""


def refuse_pointers(root: Path) -> None:
    """Raises RecipeError C065 if files of a folder are git-lfs pointers, which stand for files not yet downloaded."""
    found = sorted(path.name for path in root.glob("*") if path.name.endswith(_LARGE) and _pointer(path))
    if found:
        message = f"{len(found):,} files here are git-lfs pointers, not the files themselves; the first is {found[0]}"
        hint = "run `git lfs install` and `git lfs pull` in the folder, or download it with `hf download`"
        raise RecipeError("C065", message, Where(str(root / found[0])), hint, found[1:])


def refuse_pointer(path: Path) -> None:
    """Raises RecipeError C065 if a file is a git-lfs pointer."""
    if _pointer(path):
        message = f"{path.name} is a git-lfs pointer, not the file itself"
        hint = "run `git lfs install` and `git lfs pull` in its folder, or download it with `hf download`"
        raise RecipeError("C065", message, Where(str(path)), hint)


def _pointer(path: Path) -> bool:
    try:
        if not path.is_file() or path.stat().st_size > _POINTER_MAX:
            return False
        with path.open("rb") as stream:
            return stream.read(len(POINTER)) == POINTER
    except OSError:
        return False


def refuse_quantized(config: Mapping[str, Any], place: str, names: Collection[str] = ()) -> None:
    """Raises RecipeError C066 if config.json, or a file among the `names` beside it, is that of a model that is already
    quantized."""
    where = Where(f"{place}/config.json")
    hint = "pass the checkpoint that it was made from; recipes start from the weights that the author published"
    made = config.get("quantization")
    if isinstance(made, Mapping) and "bits" in made:
        raise RecipeError(
            "C066", "this is an MLX bundle: it is already quantized and cannot be a source checkpoint", where, hint
        )
    inner = config.get("text_config")
    sections = [each.get("quantization_config") for each in (config, inner) if isinstance(each, Mapping)]
    methods = [str(each.get("quant_method")).lower() for each in sections if isinstance(each, Mapping)]
    found = next((_METHODS[method] for method in methods if method in _METHODS), "")
    file = next((name for name in _LEFT_BY_QUANTIZERS if name in names), "")
    if found or file:
        message = f"this model is already quantized by {found or _LEFT_BY_QUANTIZERS[file]}"
        where = where if found else Where(f"{place}/{file}")
        raise RecipeError("C066", f"{message} and cannot be a source checkpoint", where, hint)


def snapshot_in(root: Path) -> Path:
    """Returns the one snapshot in a folder models--ORG--NAME of the hub's cache. Any other folder is returned
    unchanged.

    Raises RecipeError C067 if there are several snapshots, or none.
    """
    if root.name == "snapshots" and root.parent.name.startswith("models--"):
        root = root.parent
    if not root.name.startswith("models--") or not (root / "snapshots").is_dir():
        return root
    found = sorted(path for path in (root / "snapshots").iterdir() if path.is_dir())
    if len(found) == 1:
        return found[0]
    message = f"this folder of the hub's cache holds {len(found):,} snapshots; exactly one is needed"
    hint = f"pass one of them, such as {found[0]}" if found else "`hf download` the repository first"
    raise RecipeError("C067", message, Where(str(root)), hint, [path.name for path in found])
