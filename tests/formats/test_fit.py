"""fit: mse and fit: exact: never worse than minmax in any decoder, exact where they say so, the same law everywhere."""

from __future__ import annotations

import math
from dataclasses import replace

import mlx.core as mx
import numpy as np
import pytest
from numpy.typing import NDArray

from dsv4recipe.formats import Affine, SourceTensor
from dsv4recipe.formats.decode import decode_parts, decode_source, widen
from dsv4recipe.formats.encode import NotExact, encode

from .samples import FP4_VALUES, KINDS, fp4, fp8, plain, weights

Raw = tuple[SourceTensor, NDArray[np.uint8], NDArray[np.uint8] | None]
HALVES = {"bfloat16": mx.bfloat16, "float16": mx.float16, "float32": mx.float32}


@pytest.fixture(autouse=True)
def _on_cpu() -> None:
    mx.set_default_device(mx.cpu)


def of_distribution(normal: NDArray[np.float64]) -> Raw:
    """FP4 of weights [rows, columns], every 32 scaled by the ceil rule: 2^ceil(log2(max/6))."""
    blocks = normal.reshape(len(normal), -1, 32)
    exponents = np.ceil(np.log2(np.abs(blocks).max(-1) / 6))
    scaled = np.abs(blocks) / np.exp2(exponents)[..., None]
    codes = np.searchsorted((FP4_VALUES[1:8] + FP4_VALUES[:7]) / 2, scaled) + 8 * (blocks < 0)
    codes = codes.reshape(normal.shape).astype(np.uint8)
    packed = (codes[:, ::2] | codes[:, 1::2] << 4).astype(np.uint8)
    return SourceTensor("fp4", normal.shape, "I8"), packed.ravel(), (exponents + 121).astype(np.uint8).ravel()


def of_codes(codes: list[list[int]], exponents: list[int]) -> Raw:
    """FP4 rows of given codes."""
    rows = np.array(codes, np.uint8)
    packed = (rows[:, ::2] | rows[:, 1::2] << 4).astype(np.uint8)
    return SourceTensor("fp4", rows.shape, "I8"), packed.ravel(), np.array(exponents, np.uint8)


def group_errors(fmt: Affine, source: SourceTensor, exact, parts, columns=None, by=None, to=mx.float32):
    """Σ w·(ŵ - w)² per group, as our decoder reads the parts, or as mlx does in the type `by`, rounded to `to`."""
    if by is None:
        seen = decode_parts(fmt, source, parts)
    else:
        wide = [mx.array(widen(a, fmt.parts(source)[1].dtype)).astype(by) for a in parts[1:]]
        read = mx.dequantize(mx.array(parts[0]), *wide, group_size=fmt.group_size, bits=fmt.bits)
        seen = np.array(read.astype(to).astype(mx.float32))
    squares = (seen.astype(np.float64) - exact) ** 2
    if columns is not None:
        squares = squares * columns
    return squares.reshape(len(exact), -1, fmt.group_size).sum(-1)


SOURCES = [
    *(("plain " + kind, plain(weights(kind, (4, 384)), "f32")) for kind in KINDS),
    ("bf16", plain(weights("heavy", (8, 384)), "bf16")),
    ("fp8", fp8((8, 384), (4, 128))),
    ("fp4", fp4((8, 384))),
    ("fp4 of few scales", fp4((8, 384), low=118, high=121)),
    ("fp4 tiny", fp4((4, 384), low=0, high=4)),
    ("fp4 normal", of_distribution(np.random.default_rng(1).standard_normal((8, 384)))),
]


@pytest.mark.parametrize("scales", HALVES)
@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 8])
@pytest.mark.parametrize("group", [32, 64, 128])
def test_no_group_is_worse_than_minmax(bits: int, group: int, scales: str) -> None:
    """As we decode; as mlx does in float32, in the type of the scales, and in float32 rounded to that type in the end
    (its Metal kernels for many tokens); plain and weighted: not one group, of any kind of data."""
    half = HALVES[scales]
    fmt = Affine(bits, group, scales, "mse")
    columns = np.exp(np.random.default_rng(0).standard_normal(384) * 2).astype(np.float32)
    for name, (source, weight, scale) in SOURCES:
        if scales == "float16" and name == "plain huge":
            continue  # its scales overflow
        exact = decode_source(source, weight, scale).astype(np.float64)
        before = encode(replace(fmt, fit="minmax"), source, weight, scale)
        plainly = encode(fmt, source, weight, scale)
        weighed = encode(replace(fmt, importance="file"), source, weight, scale, importance=columns)
        for by, to in {(None, None), (mx.float32, mx.float32), (half, half), (mx.float32, half)}:
            seen = {"by": by, "to": to}
            assert (
                group_errors(fmt, source, exact, plainly, **seen) <= group_errors(fmt, source, exact, before, **seen)
            ).all(), (name, by, to)
            assert (
                group_errors(fmt, source, exact, weighed, columns, **seen)
                <= group_errors(fmt, source, exact, before, columns, **seen)
            ).all(), (name, by, to)
        assert [a.shape for a in plainly] == [part.shape for part in fmt.parts(source)]


GOALS = {4: 0.050, 3: 0.136, 2: 0.294}
"""Relative RMSE on Gaussian weights through FP4, group size 32, weighed by what each block's scale makes of it."""


@pytest.mark.parametrize(("bits", "goal"), GOALS.items())
def test_error_on_gaussian_fp4_sources(bits: int, goal: float) -> None:
    source, weight, scale = of_distribution(np.random.default_rng(0).standard_normal((64, 4096)))
    exact = decode_source(source, weight, scale).astype(np.float64)
    fmt = Affine(bits, 32, "bfloat16", "mse")
    error = group_errors(fmt, source, exact, encode(fmt, source, weight, scale))
    units = np.exp2(2.0 * (scale.reshape(error.shape).astype(np.float64) - 127))
    power = (exact.reshape(*error.shape, 32) ** 2).sum(-1)
    assert math.sqrt((error / units).sum() / (power / units).sum()) <= goal
    assert (error == 0).mean() >= (0.40 if bits == 4 else 0)


@pytest.mark.parametrize("scales", HALVES)
@pytest.mark.parametrize("bits", [5, 6, 8])
def test_exact_holds_every_fp4_source(bits: int, scales: str) -> None:
    """Every code on every line; exact also for a runtime that decodes in the half type of the scales."""
    source, weight, scale = fp4((64, 256), low=117, high=124)
    fmt = Affine(bits, 32, scales, "exact")
    parts = encode(fmt, source, weight, scale)
    exact = decode_source(source, weight, scale)
    assert fmt.lossless(source)
    assert np.array_equal(decode_parts(fmt, source, parts), exact)
    assert not group_errors(fmt, source, exact, parts, by=HALVES[scales]).any()


def test_exact_over_blocks_of_different_scales() -> None:
    """Group size 64 of 1·{0..6} and 4·{0..6}: 96 half steps of the smaller, so 8 bits hold it and 6 do not."""
    line = [7, 15, 1, 9, *range(16), *([0] * 12)]
    source, weight, scale = of_codes([line + line], [120, 122])
    fmt = Affine(8, 64, "bfloat16", "exact")
    seen = decode_parts(fmt, source, encode(fmt, source, weight, scale))
    assert np.array_equal(seen, decode_source(source, weight, scale))
    with pytest.raises(NotExact):
        encode(replace(fmt, bits=6), source, weight, scale)


def test_four_bits_are_exact_where_sixteen_steps_do() -> None:
    few = [0, 1, 2, 3, 4, 5, 9, 10, 11, 12, 13, 14, 0, 0, 0, 0] * 2  # -4 … 3 by halves
    even = [7, 15, 2, 4, 5, 6, 10, 12, 13, 14, 0, 0, 0, 0, 0, 0] * 2  # -6 … 6 by ones
    source, weight, scale = of_codes([few, even], [120, 119])
    fmt = Affine(4, 32, "bfloat16", "exact")
    seen = decode_parts(fmt, source, encode(fmt, source, weight, scale))
    assert np.array_equal(seen, decode_source(source, weight, scale))


def test_exact_names_the_first_group_that_it_cannot_hold() -> None:
    good, bad = [0, 1] * 16, list(range(16)) * 2
    source, weight, scale = of_codes([good + good, good + bad, bad + bad], [120] * 6)
    with pytest.raises(NotExact) as caught:
        encode(Affine(4, 32, "bfloat16", "exact"), source, weight, scale)
    assert (caught.value.row, caught.value.column) == (1, 32)
    source, weight, scale = of_codes([good], [90])  # steps of 2^-38: float16 has none
    with pytest.raises(NotExact):
        encode(Affine(8, 32, "float16", "exact"), source, weight, scale)


def test_exact_is_for_fp4_and_importance_for_mse() -> None:
    source, _, _ = fp8((4, 128), (4, 128))
    assert "FP4" in Affine(8, 32, "bfloat16", "exact").problem(source)
    source, weight, scale = fp4((2, 64))
    assert "no use" in Affine(4, 32, "bfloat16", "minmax", "file").problem(source)
    fmt = Affine(4, 32, "bfloat16", "mse", "file")
    with pytest.raises(ValueError, match="none given"):
        encode(fmt, source, weight, scale)
    with pytest.raises(ValueError, match="for 64 columns"):
        encode(fmt, source, weight, scale, importance=np.ones(32, np.float32))
    with pytest.raises(ValueError, match="ignores"):
        encode(replace(fmt, importance="none"), source, weight, scale, importance=np.ones(64, np.float32))


@pytest.mark.parametrize("bits", [2, 4])
@pytest.mark.parametrize("stored", ["fp4", "bf16"])
def test_importance_moves_the_error_to_where_it_matters_less(bits: int, stored: str) -> None:
    normal = np.random.default_rng(2).standard_normal((64, 512))
    source, weight, scale = of_distribution(normal) if stored == "fp4" else plain(normal, "bf16")
    columns = np.where(np.arange(512) % 16 == 3, np.float32(64), np.float32(1))
    exact = decode_source(source, weight, scale).astype(np.float64)
    fmt = Affine(bits, 32, "bfloat16", "mse")
    weighed = encode(replace(fmt, importance="file"), source, weight, scale, importance=columns)
    plainly = encode(fmt, source, weight, scale)
    gain = (
        group_errors(fmt, source, exact, weighed, columns).sum()
        / group_errors(fmt, source, exact, plainly, columns).sum()
    )
    assert gain < 0.75
    same = encode(replace(fmt, importance="file"), source, weight, scale, importance=np.ones(512, np.float32))
    assert [a.tobytes() for a in same] == [a.tobytes() for a in plainly]


@pytest.mark.parametrize("bits", [2, 3, 4])
@pytest.mark.parametrize("group", [32, 128])
def test_scale_of_the_source_scales_the_fit(bits: int, group: int) -> None:
    """A law: FP4 of twice the scale has the same codes, and twice the scales and biases."""
    source, weight, scale = fp4((16, 256), low=115, high=120)
    one, two = (encode(Affine(bits, group, "float32", "mse"), source, weight, scale + k) for k in (0, 1))
    assert one[0].tobytes() == two[0].tobytes()
    assert np.array_equal(one[1] * 2, two[1])
    assert np.array_equal(one[2] * 2, two[2])


def test_scales_beyond_float16_are_refused_as_minmax_refuses_them() -> None:
    source, weight, _ = plain(np.full((1, 32), 7e4, np.float32), "f32")
    for fit in ("minmax", "mse"):
        with pytest.raises(ValueError, match="overflows float16"):
            encode(Affine(4, 32, "float16", fit), source, weight, None)


def brute_force(values: NDArray[np.float64], levels: int) -> float:
    """Least Σ(v - ŵ)² of any scale and bias of a fine grid, refined by least squares: another algorithm than ours."""
    least, most = values.min(), values.max()
    low, high = np.meshgrid(np.linspace(0, 0.4, 41), np.linspace(0, 0.4, 41))
    bias = (least + low * (most - least)).ravel()[:, None]
    scale = ((most - high * (most - least)).ravel()[:, None] - bias) / levels
    best = np.inf
    for _ in range(4):
        codes = np.clip(np.rint((values - bias) / scale), 0, levels)
        best = min(best, ((values - codes * scale - bias) ** 2).sum(1).min())
        mean, middle = codes.mean(1, keepdims=True), values.mean()
        spread = ((codes - mean) ** 2).sum(1, keepdims=True)
        keep = spread[:, 0] > 0
        codes, mean, spread = codes[keep], mean[keep], spread[keep]
        scale = ((codes - mean) * (values - middle)).sum(1, keepdims=True) / spread
        keep = scale[:, 0] > 1e-9
        scale, bias = scale[keep], (middle - scale * mean)[keep]
    return float(best)


@pytest.mark.parametrize(("bits", "stored", "within"), [(2, "fp4", 1.03), (4, "fp4", 1.05), (3, "bf16", 1.08)])
def test_error_is_near_what_an_exhaustive_search_finds(bits: int, stored: str, within: float) -> None:
    normal = np.random.default_rng(3).standard_normal((8, 512))
    source, weight, scale = of_distribution(normal) if stored == "fp4" else plain(normal, "bf16")
    exact = decode_source(source, weight, scale).astype(np.float64)
    fmt = Affine(bits, 32, "float32", "mse")
    ours = group_errors(fmt, source, exact, encode(fmt, source, weight, scale)).sum()
    best = sum(brute_force(group, 2**bits - 1) for group in exact.reshape(-1, 32))
    assert ours <= best * within
