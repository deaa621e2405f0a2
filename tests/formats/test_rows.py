"""What holds for every encoder: any split of the rows gives the same bytes; nothing that is not finite gets through."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsv4recipe.formats import Affine, Keep, Mxfp4, Mxfp8, Mxtq, SourceTensor
from dsv4recipe.formats.encode import BadValue, encode
from dsv4recipe.formats.kernels.jit import kernel

from .samples import fp4, fp8, plain, weights

ROWS, COLUMNS, TILE = 40, 256, (4, 128)
SOURCES = {
    "fp4": fp4((ROWS, COLUMNS)),
    "fp8": fp8((ROWS, COLUMNS), TILE),
    "bf16": plain(weights("heavy", (ROWS, COLUMNS)), "bf16"),
    "f32": plain(weights("normal", (ROWS, COLUMNS)), "f32"),
}
EVERYWHERE = (Affine(3, 32, "bfloat16"), Affine(3, 64, "bfloat16", "mse"), Mxtq(2), Keep("F16"))
CASES = [
    *((stored, fmt) for stored in SOURCES for fmt in EVERYWHERE),
    ("fp4", Affine(5, 32, "bfloat16", "exact")),
    ("fp4", Mxfp4()),
    ("fp8", Mxfp8()),
]  # fmt: skip


def part_of(stored: str, start: int, stop: int):
    source, weight, scale = SOURCES[stored]
    per_row = weight.size // ROWS
    piece = SourceTensor(source.stored, (stop - start, COLUMNS), source.dtype, source.tile)
    if scale is not None:
        tall = TILE[0] if stored == "fp8" else 1
        across = scale.size // (ROWS // tall)
        scale = scale[start // tall * across : -(-stop // tall) * across]
    return piece, weight[start * per_row : stop * per_row], scale


@settings(max_examples=60, deadline=None)
@given(case=st.sampled_from(CASES), cuts=st.sets(st.integers(1, ROWS // 4 - 1), max_size=4))
def test_any_split_into_rows_gives_the_same_bytes(case, cuts) -> None:
    stored, fmt = case
    edges = [0, *(4 * cut for cut in sorted(cuts)), ROWS]
    pieces = [encode(fmt, *part_of(stored, a, b)) for a, b in pairwise(edges)]
    whole = encode(fmt, *SOURCES[stored])
    for number, array in enumerate(whole):
        assert array.flags.c_contiguous
        assert b"".join(piece[number].tobytes() for piece in pieces) == array.tobytes()


def test_blocks_inside_one_call_do_not_show() -> None:
    source, weight, scale = fp4((70, 4096))  # more than one block of rows
    for fmt in (Affine(4, 64, "float16"), Mxtq(4), Keep("BF16")):
        whole = encode(fmt, source, weight, scale)
        for row in (0, 15, 16, 69):
            alone = SourceTensor("fp4", (1, 4096), "I8")
            got = encode(fmt, alone, weight[row * 2048 : row * 2048 + 2048], scale[row * 128 : row * 128 + 128])
            assert [a.tobytes() for a in got] == [a[row : row + 1].tobytes() for a in whole]


@pytest.mark.parametrize("fmt", [Affine(4, 32, "float32"), Mxtq(2), Keep("BF16"), Keep("F32")])
@pytest.mark.parametrize(
    ("value", "reason"), [(np.nan, "NaN in the source"), (np.inf, "Inf in the source"), (-np.inf, "Inf in the source")]
)
def test_plain_sources_that_are_not_finite_are_refused(fmt, value: float, reason: str) -> None:
    values = weights("normal", (30, 4096))
    values[21, 4003] = value
    for stored in ("f32", "bf16"):
        source, weight, _ = plain(np.where(np.isnan(values), 0, values), stored)
        weight = weight.copy()
        item = weight.size // values.size
        bits = np.float32(value).view(np.uint32).tobytes()[-item:]
        weight[(21 * 4096 + 4003) * item : (21 * 4096 + 4004) * item] = np.frombuffer(bits, np.uint8)
        with pytest.raises(BadValue, match=f"row 21, column 4003: {reason}") as caught:
            encode(fmt, source, weight, None)
        assert (caught.value.row, caught.value.column, caught.value.reason) == (21, 4003, reason)


@pytest.mark.parametrize("fmt", [Affine(4, 32, "float32"), Mxtq(2), Keep("BF16"), Mxfp8()])
@pytest.mark.parametrize("code", [0x7F, 0xFF])
def test_nan_codes_of_fp8_are_refused(fmt, code: int) -> None:
    source, weight, scale = fp8((12, 256), (4, 128))
    weight[7 * 256 + 133] = code
    with pytest.raises(BadValue, match="row 7, column 133: NaN"):
        encode(fmt, source, weight, scale)


@pytest.mark.parametrize("fmt", [Affine(4, 32, "float32"), Mxtq(2), Keep("F32"), Mxfp4(), Mxfp8()])
def test_scales_that_are_nan_or_overflow_are_refused(fmt) -> None:
    if not isinstance(fmt, Mxfp8):
        source, weight, scale = fp4((12, 256))
        weight[:] = 0x11
        scale[7 * 8 + 3] = 0xFF
        with pytest.raises(BadValue, match="row 7, column 96: NaN"):
            encode(fmt, source, weight, scale)
        scale[7 * 8 + 3] = 254  # 6 · 2^127
        weight[7 * 128 + 50] = 0x71
        with pytest.raises(BadValue, match="row 7, column 101: the value overflows float32"):
            encode(fmt, source, weight, scale)
    if not isinstance(fmt, Mxfp4):
        source, weight, scale = fp8((12, 256), (4, 128))
        weight[:] = 0
        scale[3] = 0xFF
        with pytest.raises(BadValue, match="row 4, column 128: NaN"):
            encode(fmt, source, weight, scale)
        scale[3] = 247
        weight[6 * 256 + 200] = 0xFE  # -448 · 2^120
        with pytest.raises(BadValue, match="row 6, column 200: the value overflows float32"):
            encode(fmt, source, weight, scale)


def test_the_largest_finite_values_pass() -> None:
    source, weight, scale = fp4((2, 64))
    weight[:], scale[:] = 0x77, 252  # 6 · 2^125
    assert encode(Mxfp4(), source, weight, scale)[1].tolist() == [[252, 252]] * 2
    (kept,) = encode(Keep("F32"), source, weight, scale)
    assert kept.tolist() == [[6.0 * 2.0**125] * 64] * 2
    source, weight, scale = fp8((2, 64), (1, 32))
    weight[:], scale[:] = 0x7E, 246
    assert encode(Mxfp8(), source, weight, scale)[1].tolist() == [[246, 246]] * 2


def test_values_beyond_the_stored_type_are_refused() -> None:
    values = np.zeros((3, 64), np.float32)
    values[2, 40] = 65520  # rounds to 65536
    wide = plain(values, "f32")
    with pytest.raises(BadValue, match="row 2, column 40: 65520 overflows F16"):
        encode(Keep("F16"), *wide)
    values[2, 40] = 65519
    assert encode(Keep("F16"), *plain(values, "f32"))[0][2, 40] == 0x7BFF
    values[2, 40] = np.finfo(np.float32).max
    with pytest.raises(BadValue, match=r"row 2, column 40: 3.40282e\+38 overflows BF16"):
        encode(Keep("BF16"), *plain(values, "f32"))
    with pytest.raises(BadValue, match="row 2, column 32: the group's bias overflows bfloat16"):
        encode(Affine(4, 32, "bfloat16"), *plain(values, "f32"))
    values[2, 41] = -values[2, 40]
    with pytest.raises(BadValue, match="row 2, column 32: the group's scale overflows float32"):
        encode(Affine(4, 32, "float32"), *plain(values, "f32"))
    values[2, 40:42] = 7e4, 0
    with pytest.raises(BadValue, match="row 2, column 32: the group's bias overflows float16"):
        encode(Affine(4, 32, "float16"), *plain(values, "f32"))
    with pytest.raises(BadValue, match="row 2, column 0: the row's norm overflows float16"):
        encode(Mxtq(2), *plain(values, "f32"))


def test_a_format_refuses_a_source_it_cannot_take() -> None:
    source, weight, scale = fp8((2, 64), (1, 32))
    with pytest.raises(ValueError, match="stored as fp8"):
        encode(Mxfp4(), source, weight, scale)
    with pytest.raises(ValueError, match="kept as F32, BF16 or F16, but not as F8_E4M3"):
        encode(Keep("F8_E4M3"), source, weight, scale)
    with pytest.raises(ValueError, match=r"needs \(128, 4\) bytes of weight and scale, not \(128, 3\)"):
        encode(Mxfp8(), source, weight, scale[1:])


def test_unaligned_bytes_of_a_file_are_read() -> None:
    source, weight, _ = plain(weights("normal", (2, 64)), "f32")
    shifted = np.frombuffer(b"\0" + weight.tobytes(), np.uint8)[1:]
    fmt = Affine(4, 32, "float32")
    assert encode(fmt, source, shifted, None)[0].tobytes() == encode(fmt, source, weight, None)[0].tobytes()


def test_kernels_compile_where_no_cache_can_be_written() -> None:
    namespace: dict = {}
    exec(compile("def double(x):\n    return x + x\n", "/nowhere/to/be/found.py", "exec"), namespace)
    assert kernel(namespace["double"])(21) == 42
