"""MXTQ: known answers of the reference codec, and a plain numpy transcription of the codec for any shape."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from dsv4recipe.formats import Mxtq
from dsv4recipe.formats.decode import decode_parts, decode_source
from dsv4recipe.formats.encode import encode
from dsv4recipe.formats.mxtq.codebooks import boundaries, codebook, hadamard_blocks, lloyd_max, signs

from .samples import fp4, fp8, plain, weights

KNOWN = {  # (in, bits): first word of row 0, sha256 of packed (16 digits), float16 norms
    (2048, 2): (1478148570, "1d381d3bd3b1227c", "873ae5401544"),
    (2048, 4): (3811948187, "8d04470d66821e46", "873ae5401544"),
    (4096, 2): (437899481, "82a186fb7326cc28", "9e3ced42c545"),
    (4096, 4): (3040142759, "7abd4068a378a013", "9e3ced42c545"),
    (3072, 2): (1478148570, "588ea39aaa38ac17", "ff3bff41ff44"),
    (3072, 4): (3543512731, "162b8a2e773895c8", "ff3bff41ff44"),
    (7168, 2): (437899481, "c063c362fd5b14be", "1b3e9444a247"),
    (7168, 4): (3057964455, "f3201c0b8097ecad", "1b3e9444a247"),
}
SIGNS = {2048: "41f8e007f1c4e9f0", 4096: "166c7c4effe58c66", 3072: "fdd343d1802c07b4", 7168: "e36b3b95b7c507a5"}
HALF_BOOKS = {2048: [0.010141449049115181, 0.033700473606586456], 4096: [0.007191894575953484, 0.02388954535126686]}


def digest(array: np.ndarray) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()[:16]


def transcription(values: np.ndarray, bits: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The codec row by row and level by level, in numpy float32: slow, to be compared with."""
    rows, width = values.shape
    rotated = values * signs(width, seed)
    first = 0
    for size in hadamard_blocks(width):
        block = rotated[:, first : first + size].copy()
        run = 1
        while run < size:
            pairs = block.reshape(rows, -1, 2, run)
            block = np.stack([pairs[:, :, 0] + pairs[:, :, 1], pairs[:, :, 0] - pairs[:, :, 1]], axis=2).reshape(
                rows, size
            )
            run *= 2
        rotated[:, first : first + size] = block * np.float32(1 / size**0.5)
        first += size
    norms = np.zeros(rows, np.float32)
    for column in (rotated * rotated).T:
        norms = norms + column
    norms = np.sqrt(norms)
    unit = rotated / np.maximum(norms, np.float32(1e-10))[:, None]
    indices = (unit[:, :, None] > boundaries(width, bits)).sum(axis=2).astype(np.uint64)
    shifts = np.arange(32 // bits, dtype=np.uint64) * np.uint64(bits)
    words = (indices.reshape(rows, -1, 32 // bits) << shifts).sum(axis=2).astype(np.uint32)
    return words, norms.astype(np.float16)


def known_input(rows: int, width: int) -> np.ndarray:
    i = np.arange(rows, dtype=np.int64)[:, None]
    j = np.arange(width, dtype=np.int64)[None, :]
    return ((((i + 1) * 7919 + j * 104729 + i * j) % 4093 - 2046) * (2 * i + 1) / 65536.0).astype(np.float32)


@pytest.mark.parametrize(("width", "bits"), KNOWN)
def test_known_answers(width: int, bits: int) -> None:
    values = known_input(3, width)
    source, weight, _ = plain(values, "f32")
    packed, norms = encode(Mxtq(bits), source, weight, None)
    assert (int(packed[0, 0]), digest(packed), norms.tobytes().hex()) == KNOWN[width, bits]
    back = decode_parts(Mxtq(bits), source, (packed, norms))
    assert np.sqrt(((back - values) ** 2).sum() / (values**2).sum()) < {2: 0.36, 4: 0.11}[bits]


def test_constants_are_those_the_runtime_reads() -> None:
    assert {width: digest(signs(width, 42)) for width in SIGNS} == SIGNS
    assert signs(16, 42).tolist() == [-1, 1, 1, -1, -1, 1, -1, 1, -1, -1, 1, 1, 1, 1, 1, 1]
    assert not np.array_equal(signs(64, 42), signs(64, 43))
    for width, half in HALF_BOOKS.items():
        assert codebook(width, 2).tolist() == [-half[1], -half[0], *half]


@pytest.mark.parametrize(("width", "bits"), KNOWN)
def test_embedded_codebooks_are_what_the_documented_algorithm_gives(width: int, bits: int) -> None:
    assert codebook(width, bits).tobytes() == np.array(lloyd_max(width, bits), "<f4").tobytes()


@pytest.mark.parametrize("bits", [2, 4])
@pytest.mark.parametrize("shape", [(3, 16), (5, 32), (8, 128), (11, 192), (17, 256), (2, 6144), (9, 2048)])
def test_bytes_equal_the_plain_transcription(shape, bits: int) -> None:
    for kind in ("normal", "heavy", "zero", "fp4-grid"):
        values = weights(kind, shape)
        values[1] = 0  # a zero row among others
        values[-1] *= np.float32(1e-12)  # a norm below the floor of 1e-10
        packed, norms = encode(Mxtq(bits, seed=7), *plain(values, "f32"))
        want = transcription(values, bits, 7)
        assert packed.tobytes() == want[0].tobytes(), kind
        assert norms.tobytes() == want[1].tobytes(), kind
        middle = (1 << bits - 1) - 1
        assert packed[1].tolist() == [sum(middle << k for k in range(0, 32, bits))] * packed.shape[1]


@pytest.mark.parametrize(
    ("source", "weight", "scale"),
    [fp4((10, 256)), fp8((10, 256), (4, 128)), plain(weights("heavy", (10, 256)), "bf16")],
)
def test_every_source_is_encoded_from_its_float32(source, weight, scale) -> None:
    packed, norms = encode(Mxtq(4), source, weight, scale)
    want = transcription(decode_source(source, weight, scale), 4, 42)
    assert [packed.tobytes(), norms.tobytes()] == [part.tobytes() for part in want]
