"""MXTQ measured in the rotated basis: the figures of decoded rows, and a wrong bit seen; mlx's reading is the judge."""

from __future__ import annotations

import numpy as np
import pytest

from dsv4recipe.formats import Mxtq
from dsv4recipe.formats.compare import gaps
from dsv4recipe.formats.decode import decode_parts, decode_source
from dsv4recipe.formats.encode import encode
from dsv4recipe.verifier.numbers.judge import mlx_agrees

from .samples import fp4, plain, weights


@pytest.mark.parametrize("bits", [2, 4])
@pytest.mark.parametrize("shape", [(3, 16), (8, 128), (11, 192), (17, 256), (2, 6144), (9, 2048)])
def test_the_figures_are_those_of_the_decoded_rows(shape: tuple[int, int], bits: int) -> None:
    fmt = Mxtq(bits, seed=7)
    for kind in ("normal", "heavy", "fp4-grid", "tiny"):
        values = weights(kind, shape)
        values[1] = 0
        source, weight, _ = plain(values, "f32")
        parts = encode(fmt, source, weight, None)
        (error, power, most), alike = gaps(fmt, source, parts, values)
        gap = np.abs(decode_parts(fmt, source, parts).astype(np.float64) - values)
        assert alike is True
        assert error == pytest.approx((gap**2).sum(), rel=2e-6)
        assert power == pytest.approx((values.astype(np.float64) ** 2).sum(), rel=2e-6)
        assert most == pytest.approx(gap.max(), rel=2e-6)


def test_a_changed_code_or_norm_is_seen_and_measured() -> None:
    fmt, (source, weight, scale) = Mxtq(2), fp4((19, 256))
    exact = decode_source(source, weight, scale)
    clean = encode(fmt, source, weight, scale)
    for part, place in ((0, (18, 15)), (0, (0, 0)), (1, (17,))):
        parts = [array.copy() for array in clean]
        parts[part][place] ^= 1 << 6
        (error, _, most), alike = gaps(fmt, source, parts, exact)
        gap = np.abs(decode_parts(fmt, source, parts).astype(np.float64) - exact)
        assert alike is False
        assert (error, most) == (pytest.approx((gap**2).sum(), rel=2e-6), pytest.approx(gap.max(), rel=2e-6))


def test_what_is_not_finite_is_neither_alike_nor_a_figure() -> None:
    fmt, values = Mxtq(4), weights("normal", (9, 64))
    source, weight, _ = plain(values, "f32")
    parts = encode(fmt, source, weight, None)
    values[8, 3] = np.nan
    (error, *_), alike = gaps(fmt, source, parts, values)
    assert not np.isfinite(error)
    assert alike is False


def test_squares_beyond_float32_are_measured_again_in_float64() -> None:
    fmt, values = Mxtq(4), weights("normal", (9, 64)) * np.float32(1e-17)
    source, weight, _ = plain(values, "f32")
    (_, power, _), _ = gaps(fmt, source, encode(fmt, source, weight, None), values)
    assert power == pytest.approx((values.astype(np.float64) ** 2).sum(), rel=1e-6)


@pytest.mark.parametrize(("shape", "bits"), [((5, 192), 2), ((4, 6144), 4)])
def test_mlx_reads_the_same_numbers_and_would_notice_others(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int], bits: int
) -> None:
    fmt = Mxtq(bits, seed=7)
    source, weight, _ = plain(weights("heavy", shape), "f32")
    parts = encode(fmt, source, weight, None)
    assert mlx_agrees(fmt, source, parts)
    ours = decode_parts(fmt, source, parts)
    ours[0, 5] *= np.float32(1.001)
    monkeypatch.setattr("dsv4recipe.verifier.numbers.judge.decode_parts", lambda *_: ours)
    assert not mlx_agrees(fmt, source, parts)
