"""Floor 1, checkpoint. Writes synthetic checkpoints with the real names, dtypes, shapes and shards, to a new folder.

The shards are those of the V4 releases (docs/reference/checkpoint.md): the embedding, one per layer, the head with the
last norm, and one per MTP stage. A vision tower, if there is one, comes last (V4.1's own map is not known). Inside a
shard the order is that of the safetensors package's writer, without metadata. With that order, all headers of V4-Flash
together are as long as the real ones, 7,663,144 bytes.
"""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

from dsv4recipe.checkpoint.dims import Dims
from dsv4recipe.checkpoint.family import ExpectedTensor, Family
from dsv4recipe.checkpoint.graph import detect_family
from dsv4recipe.checkpoint.synth_config import synth_config
from dsv4recipe.checkpoint.synth_files import side_files
from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.formats.base import ITEM_SIZE
from dsv4recipe.headers.safetensors import header_bytes
from dsv4recipe.headers.strict_json import reason
from dsv4recipe.paths import as_path
from dsv4recipe.units import human_size

_PLAIN = {"bf16": "BF16", "f32": "F32", "int": "I64"}
_ORDER = ("I64", "F32", "BF16", "F8_E8M0", "F8_E4M3", "I8")
"""Tensors are sorted as the safetensors writer does: by dtype, widest first so that all are aligned, then by name."""


@dataclass(frozen=True, slots=True)
class Synthetic:
    """Says what was written: stored tensors, bytes of all tensors without headers, and shard files."""

    root: Path
    tensors: int
    bytes: int
    shards: int
    headers_only: bool


@dataclass(frozen=True, slots=True)
class Piece:
    """One stored tensor of a shard and the logical tensor that it comes from; `scale` says that it is the scale."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    tensor: ExpectedTensor
    scale: bool = False

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * ITEM_SIZE[self.dtype]


def synthesize(
    out: Path,
    release: str = "v4-flash",
    preset: str = "tiny",
    layers: int | None = None,
    experts: int | None = None,
    headers_only: bool = False,
    seed: int = 0,
) -> Synthetic:
    """Writes a synthetic checkpoint of a release to the new folder `out`, as `synthesize_config` does.

    Raises RecipeError C051 also for options that no model can have.
    """
    return synthesize_config(out, synth_config(release, preset, layers, experts), headers_only, seed)


def synthesize_config(out: Path, config: dict[str, Any], headers_only: bool = False, seed: int = 0) -> Synthetic:
    """Writes a synthetic checkpoint of any config.json of a known family to the new folder `out`.

    With `headers_only`, the data are holes: the files have their full length but take no space. The values follow from
    `seed` and the tensor's name. The folder gets its name only when it is complete. Raises RecipeError C010 or C011
    (the config), C052 (`out` exists) or C053 (the disk).
    """
    out = as_path(out)
    family = detect_family(config, "config.json")
    dims = family.dims_of(config, "config.json")
    shards = shard_pieces(family, dims)
    total = sum(piece.nbytes for shard in shards for piece in shard)
    if out.is_symlink() or (out.exists() and not (out.is_dir() and not any(out.iterdir()))):
        raise RecipeError("C052", f"{out} already exists", Where(str(out)), "choose another name or remove it first")
    temporary = out.parent / f".{out.name}.{secrets.token_hex(4)}.tmp"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(out.parent).free
        if not headers_only and total > free:
            message = f"{human_size(total)} are needed, but only {human_size(free)} are free"
            raise RecipeError("C053", message, Where(str(out)), "pass --headers-only, which takes almost no space")
        temporary.mkdir()
        weight_map: dict[str, str] = {}
        for number, pieces in enumerate(shards, 1):
            name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
            weight_map |= dict.fromkeys((piece.name for piece in pieces), name)
            _write_shard(temporary / name, pieces, dims, None if headers_only else seed)
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
        _write_texts(temporary, side_files(config, index, headers_only))
        temporary.rename(out)
    except OSError as error:
        raise RecipeError("C053", f"{out} cannot be written: {reason(error)}", Where(str(out))) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Synthetic(out, len(weight_map), total, len(shards), headers_only)


def shard_pieces(family: Family, dims: Dims) -> tuple[tuple[Piece, ...], ...]:
    """Returns the stored tensors of each shard in file order."""
    shards: list[list[Piece]] = [[] for _ in range(dims.layers + dims.stages + 3)]
    for tensor in family.expected(dims):
        layer = tensor.slot.layer
        if tensor.slot.block == "vision":
            number = -1
        elif layer is None:
            number = 0 if tensor.name == "embed.weight" else dims.layers + 1
        else:
            number = 1 + layer if layer < dims.layers else 2 + layer
        shards[number] += stored_pieces(tensor)
    return tuple(tuple(sorted(shard, key=lambda p: (_ORDER.index(p.dtype), p.name))) for shard in shards if shard)


def stored_pieces(tensor: ExpectedTensor) -> tuple[Piece, ...]:
    """Returns a logical tensor as the checkpoint stores it: one plain tensor, or a weight and its scale."""
    if tensor.stored in _PLAIN:
        return (Piece(tensor.name, _PLAIN[tensor.stored], tensor.shape, tensor),)
    rows, columns = tensor.shape
    scale = tensor.name.removesuffix("weight") + "scale"
    if tensor.stored == "fp4":
        weight = Piece(tensor.name, "I8", (rows, columns // 2), tensor)
        return weight, Piece(scale, "F8_E8M0", (rows, columns // 32), tensor, True)
    tiles = (-(-rows // tensor.tile[0]), -(-columns // tensor.tile[1]))
    return Piece(tensor.name, "F8_E4M3", tensor.shape, tensor), Piece(scale, "F8_E8M0", tiles, tensor, True)


def _write_shard(path: Path, pieces: tuple[Piece, ...], dims: Dims, seed: int | None) -> None:
    """Writes one file: the header, then the data of each tensor at its place, or a hole if there is no seed."""
    head = header_bytes((p.name, p.dtype, p.shape) for p in pieces)
    place: dict[str, int] = {}
    end = len(head)
    for piece in pieces:
        place[piece.name] = end
        end += piece.nbytes
    with path.open("wb") as stream:
        stream.write(head)
        stream.truncate(end)
        if seed is not None:
            for piece in pieces:
                if not piece.scale:
                    _write_tensor(stream, piece.tensor, place, dims, seed)


def _write_tensor(stream: BinaryIO, tensor: ExpectedTensor, place: dict[str, int], dims: Dims, seed: int) -> None:
    from dsv4recipe.checkpoint.synth_values import blocks  # with numpy, which layouts do without

    data = place[tensor.name]
    scale = place.get(tensor.name.removesuffix("weight") + "scale", 0)
    for codes, scales in blocks(tensor, seed, dims.experts):
        stream.seek(data)
        data += stream.write(codes)
        if scales:
            stream.seek(scale)
            scale += stream.write(scales)


def _write_texts(root: Path, texts: dict[str, str]) -> None:
    for name, text in texts.items():
        path = root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
