"""The solver: its laws hold for every format, and its bytes depend on nothing but rows, record and format."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from dsv4recipe.formats import Affine, Mxtq
from dsv4recipe.formats.base import SourceTensor
from dsv4recipe.formats.calibrated.encode import encode_calibrated, rotated
from dsv4recipe.formats.calibrated.moments import Moments, moments, pooled
from dsv4recipe.formats.decode import decode_parts, decode_source
from dsv4recipe.formats.encode import BadValue, encode
from dsv4recipe.guidance.encode import plain_format

WIDTH, ROWS = 256, 100
FORMATS = [
    Affine(2, 64, "float16", "gptq"),
    Affine(3, 128, "bfloat16", "gptq"),
    Affine(4, 32, "float16", "gptq"),
    Affine(6, 32, "float32", "gptq"),
    Mxtq(2, fit="gptq"),
    Mxtq(4, fit="gptq"),
]


def inputs(seed: int = 0, count: int = 400) -> np.ndarray:
    generator = np.random.default_rng(seed)
    mix = np.eye(WIDTH) + generator.normal(0, 0.1, (WIDTH, WIDTH))
    return ((generator.normal(0, 1, (count, WIDTH)) * np.exp(generator.normal(0, 0.5, WIDTH))) @ mix).astype(np.float32)


def of(fmt: Affine | Mxtq, x: np.ndarray, pool: np.ndarray | None = None) -> Moments:
    def rows(values: np.ndarray) -> Iterator[np.ndarray]:
        for first in range(0, len(values), 256):
            yield rotated(fmt, values[first : first + 256])

    shared = None if pool is None else pooled(lambda: rows(pool), WIDTH)
    return moments(lambda: rows(x), len(x), WIDTH, fmt.rounding_group, shared)


def plain(rows: int = ROWS) -> tuple[SourceTensor, np.ndarray, None]:
    weights = np.random.default_rng(1).normal(0, 0.02, (rows, WIDTH)).astype(np.float32)
    return SourceTensor("f32", weights.shape, "F32"), weights.view(np.uint8).ravel(), None


def fp4(rows: int = ROWS) -> tuple[SourceTensor, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(2)
    codes = generator.integers(0, 256, rows * WIDTH // 2, dtype=np.uint8)
    return SourceTensor("fp4", (rows, WIDTH), "I8"), codes, generator.integers(118, 121, rows * WIDTH // 32, np.uint8)


def output_error(fmt: Affine | Mxtq, source: tuple, arrays: tuple, x: np.ndarray) -> float:
    rest = decode_source(*source) - decode_parts(fmt, source[0], arrays)
    return float(((rest.astype(np.float64) @ x.T.astype(np.float64)) ** 2).sum())


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
@pytest.mark.parametrize("source", [plain(), fp4()], ids=["f32", "fp4"])
def test_outputs_err_far_less_than_without_a_record(fmt: Affine | Mxtq, source: tuple) -> None:
    x, unseen = inputs()[:300], inputs()[300:]
    ours = encode_calibrated(fmt, *source, of(fmt, x))
    without = encode(plain_format(fmt), *source)
    for values in (x, unseen):
        assert output_error(fmt, source, ours, values) < 0.75 * output_error(fmt, source, without, values)


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
def test_rows_do_not_know_each_other(fmt: Affine | Mxtq) -> None:
    source, codes, scales = fp4()
    known = of(fmt, inputs())
    whole = encode_calibrated(fmt, source, codes, scales, known)
    for first, last in ((0, 37), (37, ROWS)):
        part = codes.reshape(ROWS, -1)[first:last].ravel(), scales.reshape(ROWS, -1)[first:last].ravel()
        found = encode_calibrated(fmt, replace(source, shape=(last - first, WIDTH)), *part, known)
        for a, b in zip(found, whole, strict=True):
            assert a.tobytes() == b[first:last].tobytes()


def test_the_factor_is_one_of_h() -> None:
    known = of(FORMATS[0], inputs())
    u = np.triu(known.u.reshape(WIDTH, WIDTH).astype(np.float64))
    h = known.h.reshape(WIDTH, WIDTH)
    assert np.array_equal(h, h.T)
    assert np.allclose((u.T * known.pivots) @ u, h, rtol=0, atol=1e-5 * h.max())


def test_h_is_the_mean_of_squares_in_rounding_order_with_a_ridge() -> None:
    x = inputs()
    known = of(FORMATS[0], x)
    own = (x.astype(np.float64).T @ x)[known.order][:, known.order] / len(x)
    own += 0.02 * own.diagonal().mean() * np.eye(WIDTH)
    assert np.allclose(known.h.reshape(WIDTH, WIDTH), own, rtol=0, atol=1e-5 * own.max())
    groups = known.order.reshape(-1, 64)
    assert all(set(group // 64) == {group[0] // 64} for group in groups)


def test_few_rows_are_shrunk_towards_the_pool() -> None:
    x, pool = inputs(0, 128), inputs(5, 300)
    known = of(FORMATS[0], x, pool)
    share = 128 / (128 + 512)
    own = share * (x.astype(np.float64).T @ x) / 128 + (1 - share) * (pool.astype(np.float64).T @ pool) / 300
    own = own[known.order][:, known.order]
    own += 0.02 * own.diagonal().mean() * np.eye(WIDTH)
    assert np.allclose(known.h.reshape(WIDTH, WIDTH), own, rtol=0, atol=1e-5 * own.max())


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
def test_an_expert_that_no_token_reached_is_encoded_by_the_pool(fmt: Affine | Mxtq) -> None:
    source, pool = fp4(), inputs(5)
    ours = encode_calibrated(fmt, *source, of(fmt, inputs()[:0], pool))
    without = encode(plain_format(fmt), *source)
    assert output_error(fmt, source, ours, pool) < 0.75 * output_error(fmt, source, without, pool)


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
def test_inputs_that_are_all_zero_still_give_finite_numbers(fmt: Affine | Mxtq) -> None:
    source = plain()
    arrays = encode_calibrated(fmt, *source, of(fmt, np.zeros((64, WIDTH), np.float32)))
    assert np.isfinite(decode_parts(fmt, source[0], arrays)).all()


@pytest.mark.parametrize("fmt", [f for f in FORMATS if not (isinstance(f, Affine) and f.scales != "float16")], ids=str)
def test_what_leaves_float16_is_refused(fmt: Affine | Mxtq) -> None:
    weights = np.full((8, WIDTH), 1e6, np.float32)
    weights[:, ::2] = -1e6
    source = SourceTensor("f32", weights.shape, "F32")
    with pytest.raises(BadValue, match="overflows"):
        encode_calibrated(fmt, source, weights.view(np.uint8).ravel(), None, of(fmt, inputs()))


def test_a_source_exact_in_the_format_stays_exact() -> None:
    fmt, source = Affine(8, 32, "bfloat16", "gptq"), fp4()
    arrays = encode_calibrated(fmt, *source, of(fmt, inputs()))
    assert np.array_equal(decode_parts(fmt, source[0], arrays), decode_source(*source))
