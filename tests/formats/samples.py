"""Weights and raw source bytes for the encoder tests: every kind of data that once broke somebody's quantizer."""

from __future__ import annotations

import numpy as np

from dsv4recipe.formats import SourceTensor

FP4_VALUES = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], np.float32)
KINDS = (
    "normal",
    "heavy",
    "constant",
    "zero",
    "huge",
    "tiny",
    "below-eps",
    "fp4-grid",
    "all-negative",
    "one-hot",
    "ties",
)


def weights(kind: str, shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    """float32 [rows, columns]."""
    rng = np.random.default_rng(seed)
    rows, columns = shape
    normal = rng.standard_normal(shape).astype(np.float32)
    exponents = rng.integers(-10, -3, (rows, -(-columns // 32)))[:, np.arange(columns) // 32]
    return {
        "normal": normal * np.float32(0.02),
        "heavy": (rng.standard_t(2, shape) * 0.05).astype(np.float32),
        "constant": np.full(shape, -0.37, np.float32),
        "zero": np.zeros(shape, np.float32),
        "huge": np.clip(normal, -3, 3) * np.float32(2e4),
        "tiny": normal * np.float32(1e-6),
        "below-eps": normal * np.float32(1e-9),
        "fp4-grid": np.ldexp(FP4_VALUES[rng.integers(0, 16, shape)], exponents).astype(np.float32),
        "all-negative": -np.abs(normal) - np.float32(0.1),
        "one-hot": np.where(np.arange(columns) % 32 == 5, np.float32(1.5), np.float32(0)) + 0 * normal,
        "ties": (rng.integers(-15, 16, shape) * 0.5).astype(np.float32),
    }[kind]


def bf16_bits(values: np.ndarray) -> np.ndarray:
    """float32 → nearest bfloat16, ties to even, as uint16 bits: a transcription of its own."""
    bits = values.astype(np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def plain(values: np.ndarray, stored: str) -> tuple[SourceTensor, np.ndarray, None]:
    """A source tensor that holds `values`, rounded to "f32", "bf16" or "f16", with its raw bytes."""
    data = bf16_bits(values) if stored == "bf16" else values.astype(np.float16 if stored == "f16" else np.float32)
    source = SourceTensor(stored, values.shape, stored.upper())  # type: ignore[arg-type]
    return source, np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8), None


def fp4(
    shape: tuple[int, int], seed: int = 0, low: int = 110, high: int = 125
) -> tuple[SourceTensor, np.ndarray, np.ndarray]:
    """Random FP4 codes and E8M0 scales low … high-1, as raw bytes."""
    rng = np.random.default_rng(seed)
    rows, columns = shape
    weight = rng.integers(0, 256, rows * columns // 2).astype(np.uint8)
    return SourceTensor("fp4", shape, "I8"), weight, rng.integers(low, high, rows * columns // 32).astype(np.uint8)


def fp8(
    shape: tuple[int, int], tile: tuple[int, int], seed: int = 0, low: int = 110, high: int = 125
) -> tuple[SourceTensor, np.ndarray, np.ndarray]:
    """Random finite FP8 codes and one E8M0 scale per tile (the last ones partial), as raw bytes."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 256, shape).astype(np.uint8).ravel()
    codes[codes & 0x7F == 0x7F] = 0x7E
    tiles = -(-shape[0] // tile[0]) * -(-shape[1] // tile[1])
    return SourceTensor("fp8", shape, "F8_E4M3", tile), codes, rng.integers(low, high, tiles).astype(np.uint8)
