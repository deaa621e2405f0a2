"""mxfp4, mxfp8 and plain copies and casts: exact where they promise it, judged by mlx and numpy."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from dsv4recipe.formats import Keep, Mxfp4, Mxfp8, SourceTensor
from dsv4recipe.formats.decode import decode_parts, decode_source
from dsv4recipe.formats.encode import encode

from .samples import FP4_VALUES, bf16_bits, fp4, fp8, plain, weights


def judge(parts, mode: str, bits: int) -> np.ndarray:
    """What mlx makes of the stored parts, float32."""
    mx.set_default_device(mx.cpu)
    words, scales = (mx.array(part) for part in parts)
    return np.array(mx.dequantize(words, scales, group_size=32, bits=bits, mode=mode, dtype=mx.float32))


def test_mxfp4_is_the_source_bit_for_bit() -> None:
    source, weight, scale = fp4((9, 160), low=20, high=200)
    parts = encode(Mxfp4(), source, weight, scale)
    assert [p.tobytes() for p in parts] == [weight.tobytes(), scale.tobytes()]
    assert [(p.dtype, p.shape) for p in parts] == [(np.uint32, (9, 20)), (np.uint8, (9, 5))]
    values = decode_source(source, weight, scale)
    assert np.array_equal(judge(parts, "mxfp4", 4), values)
    assert np.array_equal(decode_parts(Mxfp4(), source, parts), values)


@pytest.mark.parametrize(
    ("shape", "tile"), [((256, 384), (128, 128)), ((200, 160), (128, 128)), ((70, 96), (32, 32)), ((5, 64), (1, 32))]
)
def test_mxfp8_repeats_the_tile_scales_and_is_exact(shape, tile) -> None:
    source, weight, scale = fp8(shape, tile)
    parts = encode(Mxfp8(), source, weight, scale)
    assert parts[0].tobytes() == weight.tobytes()
    assert [(p.dtype, p.shape) for p in parts] == [
        (np.uint32, (shape[0], shape[1] // 4)),
        (np.uint8, (shape[0], shape[1] // 32)),
    ]
    values = decode_source(source, weight, scale)
    assert np.array_equal(judge(parts, "mxfp8", 8), values)
    assert np.array_equal(decode_parts(Mxfp8(), source, parts), values)


def test_every_fp4_code_and_every_finite_scale_decode_exactly() -> None:
    weight = np.tile(np.arange(256, dtype=np.uint8), 16)[: 253 * 16]
    scale = np.arange(253, dtype=np.uint8)
    got = decode_source(SourceTensor("fp4", (253, 32), "I8"), weight, scale)
    codes = np.stack([weight & 15, weight >> 4], axis=1).reshape(253, 32)
    want = np.ldexp(FP4_VALUES.astype(np.float64)[codes], np.arange(253)[:, None] - 127)
    assert np.array_equal(got.astype(np.float64), want)
    assert np.array_equal(np.signbit(got), codes >= 8)


def test_every_fp8_code_decodes_exactly() -> None:
    codes = np.arange(256, dtype=np.uint8)
    got = decode_source(SourceTensor("fp8", (1, 256), "F8_E4M3", (1, 256)), codes, np.array([0], np.uint8))
    exponent, mantissa = (codes >> 3 & 15).astype(int), (codes & 7).astype(float)
    want = np.where(exponent == 0, mantissa / 8 * 2.0**-6, (1 + mantissa / 8) * 2.0 ** (exponent - 7.0)) * 2.0**-127
    want = np.where(codes >= 128, -want, want)
    want[[0x7F, 0xFF]] = np.nan
    assert np.array_equal(got[0].astype(np.float64), want, equal_nan=True)


@pytest.mark.parametrize("kind", ["normal", "heavy", "tiny", "below-eps", "ties"])
def test_casts_round_to_nearest_even(kind: str) -> None:
    values = weights(kind, (7, 96))
    source, weight, _ = plain(values, "f32")
    (bf16,) = encode(Keep("BF16"), source, weight, None)
    (f16,) = encode(Keep("F16"), source, weight, None)
    (f32,) = encode(Keep("F32"), source, weight, None)
    assert bf16.tolist() == bf16_bits(values).tolist()
    assert f16.tobytes() == values.astype(np.float16).tobytes()
    assert f32.tobytes() == weight.tobytes()
    halves = plain(values, "bf16")
    assert encode(Keep("BF16"), *halves)[0].tobytes() == halves[1].tobytes()
    wide = (bf16_bits(values).astype(np.uint32) << 16).view(np.float32)
    assert encode(Keep("F32"), *halves)[0].tobytes() == wide.tobytes()
    assert encode(Keep("F16"), *halves)[0].tobytes() == wide.astype(np.float16).tobytes()


def test_float16_rounds_right_at_every_step_and_midpoint() -> None:
    steps = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
    middles = ((steps[:-1].astype(np.float64) + steps[1:]) / 2).astype(np.float32)
    below, above = np.nextafter(middles, np.float32(0)), np.nextafter(middles, np.float32(1e9))
    values = np.concatenate([steps, middles, below, above])
    values = np.concatenate([values, -values])[None]
    (got,) = encode(Keep("F16"), *plain(values, "f32"))
    assert got.tobytes() == values.astype(np.float16).tobytes()


def test_coded_sources_kept_as_floats() -> None:
    for source, weight, scale in (fp4((6, 64)), fp8((6, 64), (4, 32))):
        values = decode_source(source, weight, scale)
        assert encode(Keep("F32"), source, weight, scale)[0].tobytes() == values.tobytes()
        kept = encode(Keep("BF16"), source, weight, scale)
        assert kept[0].tolist() == bf16_bits(values).tolist()
        assert np.array_equal(decode_parts(Keep("BF16"), source, kept), values)  # 3 bits of mantissa fit 7


def test_integers_are_copied_whole() -> None:
    table = np.array([[1, -2], [2**40, 3]], np.int64)
    source = SourceTensor("int", (2, 2), "I64")
    (kept,) = encode(Keep("I64"), source, table.view(np.uint8).ravel(), None)
    assert kept.dtype == np.int64
    assert kept.tolist() == table.tolist()
    assert decode_parts(Keep("I64"), source, [kept]).tolist() == table.astype(float).tolist()
    odd = np.array([[2**40 + 1, 0], [0, 0]], np.int64)
    with pytest.raises(ValueError, match="compare the stored bytes"):
        decode_source(source, odd.view(np.uint8).ravel(), None)


@pytest.mark.parametrize("shape", [(), (5,), (2, 3, 4), (0, 8)])
def test_any_shape_is_kept(shape) -> None:
    values = np.asarray(np.random.default_rng(0).standard_normal(shape), np.float32)
    source = SourceTensor("f32", shape, "F32")
    (kept,) = encode(Keep("F32"), source, np.frombuffer(values.tobytes(), np.uint8), None)
    assert kept.shape == shape
    assert kept.tobytes() == values.tobytes()
