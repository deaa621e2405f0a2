"""The stock ggml quantizer, declared and called without any code of the house, and the values that go into it."""

from __future__ import annotations

import ctypes
from pathlib import Path

import libggml
import numpy as np

from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.formats.base import BLOCKS
from dsv4recipe.formats.decode import decode_source
from dsv4recipe.formats.ggml.spec import TYPE_IDS


def stock(type_: str, values: np.ndarray, importance: np.ndarray | None) -> np.ndarray:
    """ggml_quantize_chunk: values float32 [rows, columns], C-contiguous; importance [columns] or None → uint8 [rows,
    bytes of a row]."""
    path = sorted(Path(libggml.__path__[0]).glob("lib*/*ggml-base*"))[0]
    call = ctypes.CDLL(str(path)).ggml_quantize_chunk
    call.restype = ctypes.c_size_t
    floats = ctypes.POINTER(ctypes.c_float)
    call.argtypes = [ctypes.c_int, floats, ctypes.c_void_p, *[ctypes.c_int64] * 3, floats]
    weights, size = BLOCKS[type_]
    out = np.zeros((values.shape[0], values.shape[1] // weights * size), np.uint8)
    vector = None if importance is None else importance.astype(np.float32).ctypes.data_as(floats)
    written = call(TYPE_IDS[type_], values.ctypes.data_as(floats), out.ctypes.data, 0, *values.shape, vector)
    assert written == out.nbytes
    return out


def values(checkpoint: Checkpoint, stem: str) -> list[np.ndarray]:
    """float32 of each member of a group, decoded from the source."""
    group = next(group for group in checkpoint.groups if group.stem == stem)
    found = []
    for tensor in group.members:
        root = checkpoint.folder.root
        weight = np.fromfile(root / tensor.file, np.uint8, tensor.weight.nbytes, offset=tensor.weight.start)
        scale = None
        if tensor.scale is not None:
            scale = np.fromfile(root / tensor.scale_file, np.uint8, tensor.scale.nbytes, offset=tensor.scale.start)
        found.append(decode_source(tensor.source, weight, scale))
    return found
