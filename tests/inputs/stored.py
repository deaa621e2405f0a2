"""The same numbers stored in other ways: float scales, FP8 experts, BF16, experts that are not like their stack."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from dsv4recipe.formats.base import SourceTensor
from dsv4recipe.formats.decode import decode_source
from tests.inputs.sources import Raw, Tensors

TILES = ((128, 128), (32, 32), (1, 32))
"""Of the releases."""
Change = Callable[[Tensors], None]


def numbers(tensors: Tensors, name: str) -> np.ndarray:
    """float32 of a matrix as releases store it: FP4 with a scale for 32 columns, FP8 with one for a tile, BF16, F32."""
    raw = tensors[name]
    weight = np.frombuffer(raw.data, np.uint8)
    if raw.dtype in ("BF16", "F32"):
        return decode_source(SourceTensor("bf16" if raw.dtype == "BF16" else "f32", raw.shape, raw.dtype), weight, None)
    scale = np.frombuffer(tensors[scale_of(name)].data, np.uint8)
    if raw.dtype == "I8":
        return decode_source(SourceTensor("fp4", (raw.shape[0], 2 * raw.shape[1]), "I8"), weight, scale)
    shape = tensors[scale_of(name)].shape
    tile = next(t for t in TILES if shape == (-(-raw.shape[0] // t[0]), -(-raw.shape[1] // t[1])))
    return decode_source(SourceTensor("fp8", raw.shape, "F8_E4M3", tile), weight, scale)


def scale_of(name: str) -> str:
    return name.removesuffix("weight") + "scale"


def to_bf16(tensors: Tensors, names: Iterable[str]) -> None:
    """Matrices in BF16, which holds FP4 and FP8 numbers exactly."""
    for name in names:
        if scale_of(name) in tensors:
            exact = numbers(tensors, name)
            tensors[name] = Raw("BF16", exact.shape, (exact.view("<u4") >> 16).astype("<u2").tobytes())
            del tensors[scale_of(name)]


def to_fp8(tensors: Tensors, names: Iterable[str]) -> None:
    """FP4 matrices as FP8 with the very scales: each FP4 number is an E4M3 number."""
    exact = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], np.float32)
    codes = np.array([_e4m3(value) for value in exact], np.uint8)
    both = np.concatenate((codes, codes | 0x80))
    for name in names:
        raw = tensors[name]
        pairs = raw.array("u1")
        wide = np.stack((both[pairs & 15], both[pairs >> 4]), axis=-1).reshape(raw.shape[0], -1)
        tensors[name] = Raw("F8_E4M3", wide.shape, wide.tobytes())


def _e4m3(value: float) -> int:
    if not value:
        return 0
    exponent = int(np.floor(np.log2(value)))
    return (exponent + 7) << 3 | int((value / 2.0**exponent - 1) * 8)


def scales_as(dtype: str) -> Change:
    """Every scale as `dtype`: U8 (the same byte), F32 or BF16 (the float that it means)."""

    def change(tensors: Tensors) -> None:
        for name, raw in list(tensors.items()):
            if raw.dtype == "F8_E8M0":
                bits = raw.array("u1").astype("<u4") << 23
                bits[raw.array("u1") == 0] = 1 << 22
                data = {"U8": raw.data, "F32": bits.tobytes(), "BF16": (bits >> 16).astype("<u2").tobytes()}[dtype]
                tensors[name] = Raw(dtype, raw.shape, data)

    return change


def experts(tensors: Tensors) -> list[str]:
    return [name for name in tensors if ".ffn.experts." in name and name.endswith(".weight")]


def fewer_experts(tensors: Tensors, left: int, where: Callable[[str], bool] = lambda block: True) -> None:
    """The last experts of the blocks ("layers.0", "mtp.0") that `where` picks removed, tables renumbered."""
    for name, raw in list(tensors.items()):
        if not where(".".join(name.split(".")[:2])):
            continue
        _, expert, rest = name.partition(".ffn.experts.")
        if expert and int(rest.partition(".")[0]) >= left:
            del tensors[name]
        elif name.endswith(("ffn.gate.weight", "ffn.gate.bias", "ffn.gate.bias_vl")) and raw.shape[0] > left:
            tensors[name] = Raw(raw.dtype, (left, *raw.shape[1:]), raw.data[: len(raw.data) // raw.shape[0] * left])
        elif name.endswith("tid2eid"):
            tensors[name] = Raw(raw.dtype, raw.shape, (raw.array("<i8") % left).tobytes())
