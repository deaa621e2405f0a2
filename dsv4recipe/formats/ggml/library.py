"""Floor 1, formats. The stock ggml quantizer, as the package libggml-python ships it, through ctypes. Loads a library.

ggml asserts, and so ends the process, on a wrong shape, and writes garbage in silence for NaN or an importance of zero
(docs/reference/formats.md): every call is checked here first. ctypes lets go of the GIL, so threads scale.
"""

from __future__ import annotations

import ctypes
from functools import cache
from importlib import metadata, util
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsv4recipe.errors import RecipeError
from dsv4recipe.formats.base import BLOCKS
from dsv4recipe.formats.ggml.spec import PACKAGE, QUANTIZED, TYPE_IDS, WEIGHTED
from dsv4recipe.formats.kernels.source import first_not_finite

_HINT = 'pip install "dsv4recipe[gguf]"'
_EXPECTED = {"Q8_0": 0.01, "Q2_K": 0.46, "Q4_K": 0.1, "IQ2_XXS": 0.53}
"""Relative RMSE that the self-test allows: one and a half times what was measured on normal weights."""

Floats = NDArray[np.float32]


def library_version() -> str:
    """Returns the version of libggml-python. Raises RecipeError F001 where it is not installed."""
    try:
        return metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        raise RecipeError("F001", f"ggml's quantizer needs {PACKAGE}, which is not installed", hint=_HINT) from None


def quantize(type_: str, values: Floats, importance: Floats | None, out: NDArray[np.uint8]) -> None:
    """values [rows, columns] → out [rows, bytes of a row], by ggml_quantize_chunk. `importance` is [columns] or None.

    Raises ValueError for whatever ggml would abort on or spoil in silence; `importance` must be finite and above zero.
    """
    weights, size = BLOCKS[type_]
    rows, columns = values.shape
    if type_ not in QUANTIZED or columns % weights or out.shape != (rows, columns // weights * size):
        raise ValueError(f"{type_} does not take {list(values.shape)} into {list(out.shape)} bytes")
    plain = values.flags.c_contiguous and out.flags.c_contiguous
    if values.dtype != np.float32 or out.dtype != np.uint8 or not plain:
        raise ValueError("values must be float32, out uint8, both C-contiguous")
    if first_not_finite(values.view(np.int32).ravel()) >= 0:
        raise ValueError("a value is not finite")
    if importance is None:
        if type_ == "IQ2_XXS":
            raise ValueError("IQ2_XXS cannot be encoded without an importance")
    elif importance.dtype != np.float32 or importance.shape != (columns,) or not importance.flags.c_contiguous:
        raise ValueError(f"importance must be float32 [{columns}]")
    elif not (np.isfinite(importance).all() and importance.min() > 0):
        raise ValueError("every importance must be finite and above zero")
    written = _library().ggml_quantize_chunk(
        TYPE_IDS[type_],
        values.ctypes.data,
        out.ctypes.data,
        0,
        rows,
        columns,
        None if importance is None else importance.ctypes.data,
    )
    if written != out.nbytes:
        raise ValueError(f"ggml wrote {written} bytes, not {out.nbytes}")


@cache
def check_library() -> str:
    """Encodes a few blocks of every type and decodes them with the package gguf. Returns the library's version.

    Raises RecipeError F001 (a package is missing) or F002 (what comes out is not what went in).
    """
    version = library_version()
    values = np.sin(np.arange(1, 2049, dtype=np.float64) ** 1.5).astype(np.float32).reshape(4, 512)
    ones = np.ones(512, np.float32)
    for type_ in QUANTIZED:
        weights, size = BLOCKS[type_]
        out = np.empty((4, 512 // weights * size), np.uint8)
        quantize(type_, values, ones if type_ in WEIGHTED else None, out)
        error = float(np.sqrt(np.square(dequantize(type_, out) - values).sum() / np.square(values).sum()))
        if not error <= _EXPECTED[type_]:
            message = f"{PACKAGE} {version} fails its test: {type_} comes back with a relative RMSE of {error:.3f}"
            raise RecipeError("F002", message, hint=f"install it again: {_HINT}")
    return version


def dequantize(type_: str, blocks: NDArray[np.uint8]) -> Floats:
    """blocks uint8 [rows, bytes of a row] → float32 [rows, columns], by the package gguf. Raises RecipeError F001."""
    try:
        from gguf import GGMLQuantizationType
        from gguf.quants import dequantize as decoded
    except ImportError:
        raise RecipeError("F001", "decoding ggml types needs gguf, which is not installed", hint=_HINT) from None
    weights, size = BLOCKS[type_]
    values = decoded(blocks, GGMLQuantizationType(TYPE_IDS[type_]))
    return np.asarray(values, np.float32).reshape(*blocks.shape[:-1], prod(blocks.shape[-1:]) // size * weights)


@cache
def _library() -> Any:
    library_version()
    found = util.find_spec("libggml")
    folders = [Path(folder) for folder in (found.submodule_search_locations or ())] if found else []
    files = [path for folder in folders for path in folder.glob("*/*ggml-base*")]
    names = sorted(path for path in files if path.suffix in (".so", ".dylib", ".dll"))
    if not names:
        raise RecipeError("F001", f"{PACKAGE} holds no ggml-base library for this machine", hint=_HINT)
    library = ctypes.CDLL(str(names[0]))
    call = library.ggml_quantize_chunk
    call.restype = ctypes.c_size_t
    call.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64,
                     ctypes.c_void_p)  # fmt: skip
    return library
