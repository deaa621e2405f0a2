"""Floor 4, verifier (child side). Decodes a source checkpoint's weights to float32 with numpy only.

It is an independent reader of the source on purpose: header, FP4 and FP8 decoding share no code with the builder that
is judged. It is for tiny checkpoints only, because everything is held in float32.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

LIMIT = 4 << 30
"""The most bytes of float32 weights that a comparison may hold."""

_E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], np.float32)
_FP4 = np.concatenate([_E2M1, -_E2M1])
_TYPES = {"F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I8": "i1", "U8": "u1"}
_TYPES |= {"F8_E4M3": "u1", "F8_E8M0": "u1"}
_PAIRS = ("I8", "U8")


def _e4m3_table() -> np.ndarray:
    code = np.arange(256)
    exponent, mantissa = (code >> 3) & 15, code & 7
    value = np.where(exponent == 0, mantissa / 8 * 2.0**-6, (1 + mantissa / 8) * 2.0 ** (exponent - 7.0))
    value[(code & 127) == 127] = np.nan
    return np.where(code < 128, value, -value).astype(np.float32)


_FP8 = _e4m3_table()


def decode(source: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Returns (config.json without its quantization, source name → array), without the MTP blocks. Weights are float32,
    integer tables unchanged. `source` is a folder like a release, or a file that lists the tensors of another folder.
    Raises MemoryError beyond LIMIT and KeyError for a weight without its scale."""
    if source.is_file():
        return _decode_listed(json.loads(source.read_text(encoding="utf-8")))
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    size = _float32_bytes(source)
    if size > LIMIT:
        raise MemoryError(f"the source is {size:,} bytes as float32; the comparison takes up to {LIMIT:,}")
    config.pop("quantization_config", None)
    raw = {}
    for name, file, start, entry in _headers(source):
        if not name.startswith("mtp."):
            begin, end = entry["data_offsets"]
            data = np.fromfile(file, np.uint8, end - begin, offset=start + begin)
            raw[name] = (entry["dtype"], data.view(_TYPES[entry["dtype"]]).reshape(entry["shape"]))
    out = {}
    for name, (dtype, array) in raw.items():
        if name.endswith(".scale"):
            continue
        if dtype in ("I8", "F8_E4M3"):
            scale = np.exp2(raw[name.removesuffix("weight") + "scale"][1].astype(np.float32) - 127)
            out[name] = _fp4(array, scale) if dtype == "I8" else _fp8(array, scale)
        else:
            out[name] = _plain(dtype, array)
    return config, out


def folder_of(source: Path) -> Path:
    """Returns the folder of a source, which may be given as a list of its tensors."""
    return Path(json.loads(source.read_text(encoding="utf-8"))["root"]) if source.is_file() else source


def _decode_listed(listed: dict[str, Any]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Does the same for a list of tensors: each with the place of its weight and, if there is one, of its scale."""
    tensors = {name: places for name, places in listed["tensors"].items() if not name.startswith("mtp.")}
    size = sum(4 * math.prod(w["shape"]) * (2 if w["dtype"] in _PAIRS and s else 1) for w, *s in tensors.values())
    if size > LIMIT:
        raise MemoryError(f"the source is {size:,} bytes as float32; the comparison takes up to {LIMIT:,}")
    out = {}
    for name, (weight, *scale) in tensors.items():
        array = _read(listed["root"], weight)
        if scale:
            factor = _factor(scale[0]["dtype"], _read(listed["root"], scale[0]))
            out[name] = _fp4(array, factor) if weight["dtype"] in _PAIRS else _fp8(array, factor)
        else:
            out[name] = _plain(weight["dtype"], array)
    return {key: value for key, value in listed["config"].items() if key != "quantization_config"}, out


def _read(root: str, place: dict[str, Any]) -> np.ndarray:
    data = np.fromfile(Path(root, place["file"]), np.uint8, place["end"] - place["start"], offset=place["start"])
    return data.view(_TYPES[place["dtype"]]).reshape(place["shape"])


def _factor(dtype: str, scale: np.ndarray) -> np.ndarray:
    """Returns float32 scales: of E8M0 bytes, or of floats as they are."""
    return _plain(dtype, scale) if dtype in ("F32", "BF16") else np.exp2(scale.astype(np.float32) - 127)


def _plain(dtype: str, array: np.ndarray) -> np.ndarray:
    if dtype == "BF16":
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32) if dtype in ("F32", "F16") else array


def _fp4(array: np.ndarray, scale: np.ndarray) -> np.ndarray:
    pair = array.view(np.uint8)
    value = _FP4[np.stack([pair & 15, pair >> 4], axis=-1)].reshape(len(pair), -1)
    return np.asarray(value * np.repeat(scale, 32, axis=1))


def _fp8(array: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Returns values with one scale per tile. A matrix is a whole number of tiles (128×128, 32×32, Engram 1×32)."""
    (rows, rest), (columns, more) = (divmod(a, b) for a, b in zip(array.shape, scale.shape, strict=True))
    if rest or more:
        raise ValueError(f"scales of {list(scale.shape)} do not tile a matrix of {list(array.shape)}")
    return np.asarray(_FP8[array] * np.repeat(np.repeat(scale, rows, 0), columns, 1))


def _headers(source: Path) -> Iterator[tuple[str, Path, int, dict[str, Any]]]:
    for file in sorted(source.glob("*.safetensors")):
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(length))
        for name, entry in header.items():
            if name != "__metadata__":
                yield name, file, 8 + length, entry


def _float32_bytes(source: Path) -> int:
    """Returns the bytes of the source's main block if every weight is a float32 (FP4 pairs count twice)."""
    return sum(
        4 * math.prod(entry["shape"]) * (2 if entry["dtype"] == "I8" else 1)
        for name, _, _, entry in _headers(source)
        if not name.startswith("mtp.") and not name.endswith(".scale")
    )
