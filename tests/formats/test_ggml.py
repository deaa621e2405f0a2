"""ggml types: bytes against the stock quantizer called directly, values against the package gguf, and what is refused
before ggml could abort or write garbage."""

from __future__ import annotations

import numpy as np
import pytest
from gguf import GGMLQuantizationType
from gguf.quants import dequantize

from dsv4recipe.formats import Ggml, SourceTensor, from_spec
from dsv4recipe.formats.columns import column_weights
from dsv4recipe.formats.decode import decode_parts, decode_source
from dsv4recipe.formats.encode import BadValue, encode
from dsv4recipe.formats.ggml.codec import encode_first
from dsv4recipe.formats.ggml.library import check_library, quantize
from dsv4recipe.formats.ggml.spec import TYPE_IDS
from tests.gguf.stock import stock

ROWS, COLUMNS = 64, 512
SOURCE = SourceTensor("fp4", (ROWS, COLUMNS), "I8")
BANDS = {
    "Q8_0": (0.0, 0.01), "Q4_K": (0.04, 0.1), "Q2_K": (0.2, 0.46), "IQ2_XXS": (0.25, 0.53), "MXFP4": (0.0, 0.0),
}  # fmt: skip
"""Relative RMSE on FP4-like weights, around what was measured (fact sheet ds4_gguf.md 6.3)."""


def expert(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An FP4 matrix as stored, and its values."""
    rng = np.random.default_rng(seed)
    weight = rng.integers(0, 256, ROWS * COLUMNS // 2, dtype=np.uint8)
    scale = rng.integers(118, 124, ROWS * COLUMNS // 32, dtype=np.uint8)
    return weight, scale, decode_source(SOURCE, weight, scale)


CASES = [("Q8_0", "none"), ("Q2_K", "none"), ("Q2_K", "ones"), ("Q2_K", "energy"), ("Q4_K", "none"), ("Q4_K", "ones"),
         ("Q4_K", "energy"), ("IQ2_XXS", "ones"), ("IQ2_XXS", "energy"), ("Q2_K", "file"), ("Q4_K", "file"),
         ("IQ2_XXS", "file")]  # fmt: skip


@pytest.mark.parametrize(("type_", "importance"), CASES)
def test_blocks_are_those_of_the_stock_quantizer(type_: str, importance: str) -> None:
    weight, scale, values = expert()
    file = np.exp(np.random.default_rng(1).standard_normal(COLUMNS) * 3).astype(np.float32)
    energy = np.square(values.astype(np.float64)).sum(axis=0)
    vectors = {"none": None, "ones": np.ones(COLUMNS), "energy": energy, "file": file}
    given = file if importance == "file" else None
    (made,) = encode(Ggml(type_, importance), SOURCE, weight, scale, importance=given)
    assert np.array_equal(made, stock(type_, values, vectors[importance]))


@pytest.mark.parametrize("type_", BANDS)
def test_the_gguf_package_reads_each_type_within_its_band(type_: str) -> None:
    weight, scale, values = expert()
    fmt = Ggml(type_, "energy" if type_ in ("Q2_K", "Q4_K", "IQ2_XXS") else "none")
    (made,) = encode(fmt, SOURCE, weight, scale)
    read = dequantize(made, GGMLQuantizationType(TYPE_IDS[type_]))
    error = np.sqrt(np.square(read - values).sum() / np.square(values).sum())
    low, high = BANDS[type_]
    assert low <= error <= high
    assert made.nbytes == fmt.parts(SOURCE)[0].nbytes
    assert np.array_equal(decode_parts(fmt, SOURCE, (made,)), read)


@pytest.mark.parametrize("type_", ["F32", "BF16", "F16"])
def test_plain_types_hold_the_values(type_: str) -> None:
    weight, scale, values = expert()
    (made,) = encode(Ggml(type_), SOURCE, weight, scale)
    assert np.array_equal(decode_parts(Ggml(type_), SOURCE, (made,)), values)


def test_mxfp4_is_exact_for_every_code_and_scale() -> None:
    source = SourceTensor("fp4", (250, 32), "I8")
    weight = np.tile(np.arange(16, dtype=np.uint8) * 17, 250)
    scale = np.arange(250, dtype=np.uint8)
    (made,) = encode(Ggml("MXFP4"), source, weight, scale)
    values = decode_source(source, weight, scale)
    assert np.array_equal(dequantize(made, GGMLQuantizationType.MXFP4), values)


def test_hash_tables_narrow_to_i32_or_are_refused() -> None:
    source = SourceTensor("int", (3, 2), "I64")
    table = np.array([[0, 1], [255, 2**31 - 1], [7, -5]], "<i8")
    (made,) = encode(Ggml("I32"), source, table.view(np.uint8).ravel(), None)
    assert made.dtype == np.int32
    assert np.array_equal(made, table)
    table[1, 1] = 2**31
    with pytest.raises(BadValue, match="row 1, column 1: 2147483648 overflows I32"):
        encode(Ggml("I32"), source, table.view(np.uint8).ravel(), None)


def test_the_first_rows_alone_are_the_first_rows_of_the_whole() -> None:
    weight, scale, _ = expert()
    fmt = Ggml("Q2_K", "energy")
    (whole,) = encode(fmt, SOURCE, weight, scale)
    assert np.array_equal(encode_first(fmt, SOURCE, weight, scale, 5)[0], whole[:5])


def test_importance_is_scaled_without_moving_a_byte() -> None:
    _, _, values = expert()
    energy = np.square(values.astype(np.float64)).sum(axis=0)
    for exponent in (-20, -3, -1, 0, 1, 2, 3, 20):
        given = energy * 2.0**exponent
        vector = column_weights(given)
        for type_ in ("Q2_K", "Q4_K", "IQ2_XXS"):
            assert np.array_equal(stock(type_, values, vector), stock(type_, values, given))


@pytest.mark.parametrize("type_", ["Q2_K", "Q4_K", "IQ2_XXS"])
def test_columns_that_a_file_gives_nothing_are_still_found(type_: str) -> None:
    """ggml loses a block whose importance is zero: here the columns of one have none, and come back in the band."""
    weight, scale, values = expert()
    given = np.exp(np.random.default_rng(1).standard_normal(COLUMNS)).astype(np.float32)
    given[:256] = 0
    (made,) = encode(Ggml(type_, "file"), SOURCE, weight, scale, importance=given)
    read = dequantize(made, GGMLQuantizationType(TYPE_IDS[type_]))[:, :256]
    error = np.sqrt(np.square(read - values[:, :256]).sum() / np.square(values[:, :256]).sum())
    assert error <= BANDS[type_][1]


def test_a_call_that_ggml_would_abort_on_or_spoil_never_reaches_it() -> None:
    values, ones = np.ones((2, 256), np.float32), np.ones(256, np.float32)
    out = np.empty((2, 66), np.uint8)
    zero, nan = ones.copy(), values.copy()
    zero[3], nan[1, 7] = 0, np.nan
    for given, importance, into in (
        (values, None, out), (values, zero, out), (values, zero * np.nan, out), (values, ones[:255], out),
        (nan, ones, out), (values[:, :255], ones, out), (values, ones, out[:1]), (values.astype(np.float64), ones, out),
        (np.asfortranarray(values), ones, out),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"\w"):
            quantize("IQ2_XXS", given, importance, into)


def test_what_a_type_cannot_hold_is_said_before_any_work() -> None:
    narrow, plain = SourceTensor("bf16", (4, 128), "BF16"), SourceTensor("bf16", (4, 256), "BF16")
    table = SourceTensor("int", (4, 2), "I64")
    assert "do not fill a row of 128" in Ggml("Q2_K", "none").problem(narrow)
    assert "without an importance" in Ggml("IQ2_XXS", "none").problem(plain)
    assert "takes no importance" in Ggml("Q8_0", "energy").problem(plain)
    assert "copy of FP4" in Ggml("MXFP4").problem(plain)
    assert "cannot hold integers" in Ggml("F32").problem(table)
    assert "cannot hold bf16" in Ggml("I32").problem(plain)
    assert from_spec(Ggml("Q4_K", "ones").spec()) == Ggml("Q4_K", "ones")


def test_the_library_proves_itself_and_names_its_version() -> None:
    assert check_library() == "0.20.2.post1"
