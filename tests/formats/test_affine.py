"""The affine encoder against mlx itself: packed words, scales and biases must be the same bits."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from dsv4recipe.formats import Affine
from dsv4recipe.formats.decode import decode_parts, decode_source, widen
from dsv4recipe.formats.encode import encode

from .samples import KINDS, bf16_bits, fp4, fp8, plain, weights

STORED = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}


@pytest.fixture(autouse=True)
def _on_cpu() -> None:
    mx.set_default_device(mx.cpu)


def as_mx(values: np.ndarray, dtype: str) -> mx.array:
    return mx.array(values).astype(getattr(mx, dtype))


def bits_of(array: mx.array) -> bytes:
    wide = array.dtype in (mx.float32, mx.uint32)
    return np.array(array if wide else array.view(mx.uint16)).tobytes()


@pytest.mark.parametrize("scales", STORED)
@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 8])
@pytest.mark.parametrize("group", [32, 64, 128])
def test_bytes_are_those_of_mx_quantize(bits: int, group: int, scales: str) -> None:
    fmt = Affine(bits, group, scales)
    for kind in KINDS:
        values = weights(kind, (5, 640))
        if scales == "float16" and kind == "huge":
            values = values / 2  # 6e4 fits float16
        source, weight, _ = plain(values, STORED[scales])
        given = as_mx(decode_source(source, weight, None), scales)
        want = mx.quantize(given, group_size=group, bits=bits)
        got = encode(fmt, source, weight, None)
        assert [a.shape for a in got] == [part.shape for part in fmt.parts(source)]
        assert [a.tobytes() for a in got] == [bits_of(a) for a in want], kind
        # Decoded from the same stored scales in float32, mlx must see what we say it sees.
        wide = [widen(a, STORED[scales].upper()) for a in got[1:]]
        back = mx.dequantize(mx.array(got[0]), *map(mx.array, wide), group_size=group, bits=bits)
        ours = decode_parts(fmt, source, got)
        unit = np.repeat(np.abs(wide[1]) + np.abs(wide[0]) * 2**bits, group, axis=1) * 2.0**-23
        assert (np.abs(np.array(back) - ours) <= unit).all(), kind  # a fused multiply-add may differ in the last bit


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 8])
@pytest.mark.parametrize("group", [32, 64, 128])
@pytest.mark.parametrize(
    ("source", "weight", "scale"),
    [fp4((6, 384), low=90, high=140), fp4((3, 128), low=0, high=30), fp8((6, 384), (4, 128)), fp8((6, 256), (1, 32))],
    ids=["fp4", "fp4-subnormal", "fp8", "fp8-engram"],
)
def test_coded_sources_equal_mx_quantize_of_their_float32(source, weight, scale, bits: int, group: int) -> None:
    want = mx.quantize(mx.array(decode_source(source, weight, scale)), group_size=group, bits=bits)
    got = encode(Affine(bits, group, "float32"), source, weight, scale)
    assert [a.tobytes() for a in got] == [bits_of(a) for a in want]


def test_codes_are_chosen_before_the_scales_are_rounded() -> None:
    source, weight, _ = plain(weights("normal", (8, 256)), "f32")
    words, scales, biases = mx.quantize(mx.array(decode_source(source, weight, None)), group_size=64, bits=4)
    bf16 = encode(Affine(4, 64, "bfloat16"), source, weight, None)
    assert bf16[0].tobytes() == bits_of(words)
    assert [a.tolist() for a in bf16[1:]] == [bf16_bits(np.array(a)).tolist() for a in (scales, biases)]
    f16 = encode(Affine(4, 64, "float16"), source, weight, None)
    assert [a.tobytes() for a in f16] == [bits_of(words), *(bits_of(a.astype(mx.float16)) for a in (scales, biases))]


def test_codes_decode_to_within_half_a_step() -> None:
    source, weight, scale = fp4((4, 256))
    fmt = Affine(8, 32, "float32")
    parts = encode(fmt, source, weight, scale)
    steps = np.repeat(np.abs(parts[1]), 32, axis=1)
    error = np.abs(decode_parts(fmt, source, parts) - decode_source(source, weight, scale))
    # The end that is not kept exactly may be up to a step off, because q0 was rounded.
    assert (error <= steps * 1.001).all()
    assert np.median(error / steps) < 0.5


def test_an_unknown_fit_is_refused() -> None:
    source, weight, _ = plain(weights("normal", (1, 64)), "f32")
    with pytest.raises(ValueError, match="no fit 'best'"):
        encode(Affine(4, 32, "float32", "best"), source, weight, None)
