"""What a fit of affine scales is worth: the tables of docs/evidence/quality.md.

    python benchmarks/fit.py errors [--weights 4194304] [--source fp4|bf16|fp8] [--sigma 1] [--bits 4,3,2]
    python benchmarks/fit.py worse [--groups 10000000]
    python benchmarks/fit.py speed

Weights are Gaussian or Student-t with 6 degrees of freedom, from seed 0. FP4: every 32 columns scaled by the ceil rule,
2^ceil(log2(max/6)), then rounded to the nearest code. `errors`: relative RMSE sqrt(Σ(ŵ-w)²/Σw²), and the same with each
block's errors and weights in units of its scale; both depend on where sigma lies between two powers of two. `worse`
counts groups whose squared error is above minmax's, as our decoder and as mlx's reads them (mlx's kernels for Metal, by
their source: in float32 for one token, rounded to the half type once for many). `speed` is CPU time of one thread.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from dsv4recipe.formats import Affine, SourceTensor
from dsv4recipe.formats.decode import decode_parts, decode_source, widen
from dsv4recipe.formats.encode import encode

COLUMNS = 4096
BITS, GROUPS = (2, 3, 4, 5, 6, 8), (32, 64, 128)
MAGNITUDES = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6])
Raw = tuple[SourceTensor, NDArray[np.uint8], NDArray[np.uint8] | None]


def weights(kind: str, rows: int, rng: np.random.Generator, sigma: float = 1.0) -> NDArray[np.float64]:
    shape = (rows, COLUMNS)
    return sigma * (rng.standard_normal(shape) if kind == "gaussian" else rng.standard_t(6, shape))


def fp4(values: NDArray[np.float64]) -> Raw:
    blocks = values.reshape(len(values), -1, 32)
    exponents = np.ceil(np.log2(np.abs(blocks).max(-1) / 6))
    scaled = np.abs(blocks) / np.exp2(exponents)[..., None]
    codes = np.searchsorted((MAGNITUDES[1:] + MAGNITUDES[:-1]) / 2, scaled) + 8 * (blocks < 0)
    codes = codes.reshape(values.shape).astype(np.uint8)
    packed = (codes[:, ::2] | codes[:, 1::2] << 4).astype(np.uint8)
    return SourceTensor("fp4", values.shape, "I8"), packed.ravel(), (exponents + 127).astype(np.uint8).ravel()


def bf16(values: NDArray[np.float64]) -> Raw:
    bits = values.astype(np.float32).view(np.uint32)
    halves = ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)
    return SourceTensor("bf16", values.shape, "BF16"), halves.view(np.uint8).ravel(), None


def fp8(values: NDArray[np.float64]) -> Raw:
    """E4M3 with one scale per 128 × 128 tile, by the ceil rule for 448; values to nearest, through mlx."""
    rows, columns = values.shape
    tiles = np.abs(values).reshape(rows // 128, 128, columns // 128, 128).max((1, 3))
    exponents = np.ceil(np.log2(tiles / 448))
    scaled = values / np.exp2(np.repeat(np.repeat(exponents, 128, 0), 128, 1))
    codes = np.array(mx.to_fp8(mx.array(scaled.astype(np.float32))))
    return (
        SourceTensor("fp8", values.shape, "F8_E4M3", (128, 128)),
        codes.ravel(),
        (exponents + 127).astype(np.uint8).ravel(),
    )


MAKE = {"fp4": fp4, "bf16": bf16, "fp8": fp8}


def by_group(squares: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    return squares.reshape(len(squares), -1, size).sum(-1)


def mlx_reads(
    fmt: Affine, raw: Raw, parts: tuple[NDArray[np.uint8], ...], half: bool, rounded: bool = False
) -> NDArray[np.float32]:
    """mx.dequantize on the CPU: in float32, or in the half type of the scales, as it does when it gets them; what
    comes out is `rounded` to that type."""
    dtype = fmt.parts(raw[0])[1].dtype
    stored = {"BF16": mx.bfloat16, "F16": mx.float16, "F32": mx.float32}[dtype]
    to = stored if half else mx.float32
    scales, biases = (mx.array(widen(part, dtype)).astype(to) for part in parts[1:])
    read = mx.dequantize(mx.array(parts[0]), scales, biases, group_size=fmt.group_size, bits=fmt.bits)
    return np.array((read.astype(stored) if rounded else read).astype(mx.float32))


def errors(asked: argparse.Namespace) -> None:
    print("| weights | bits | group | scales | minmax | mse | in units: minmax | mse | exact groups: minmax | mse "
          "| decoded in half: minmax | mse |")  # fmt: skip
    print("|---|---:|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for kind in ("gaussian", "student-t6"):
        raw = MAKE[asked.source](weights(kind, asked.weights // COLUMNS, np.random.default_rng(0), asked.sigma))
        exact = decode_source(*raw).astype(np.float64)
        units = np.ones((len(exact), COLUMNS // 32))
        if asked.source == "fp4":
            assert raw[2] is not None
            units = np.exp2(254.0 - 2.0 * raw[2].reshape(units.shape))
        power, blocks = (exact**2).sum(), by_group(exact**2, 32)
        for size in GROUPS:
            for bits in map(int, asked.bits.split(",")):
                for scales in ("bfloat16", "float16"):
                    row: list[list[str]] = [[], [], [], []]
                    for fit in ("minmax", "mse"):
                        fmt = Affine(bits, size, scales, fit)
                        parts = encode(fmt, *raw)
                        squares = (decode_parts(fmt, raw[0], parts) - exact) ** 2
                        half = (mlx_reads(fmt, raw, parts, True) - exact) ** 2
                        row[0].append(f"{math.sqrt(squares.sum() / power):.5f}")
                        row[1].append(
                            f"{math.sqrt((by_group(squares, 32) * units).sum() / (blocks * units).sum()):.5f}"
                        )
                        row[2].append(f"{(by_group(squares, size) == 0).mean():.2%}")
                        row[3].append(f"{math.sqrt(half.sum() / power):.5f}")
                    figures = " | ".join(" | ".join(pair) for pair in row)
                    print(f"| {kind} | {bits} | {size} | {scales} | {figures} |", flush=True)


def samples(groups: int, size: int, rng: np.random.Generator) -> Iterator[tuple[str, Raw]]:
    """Blocks of 128 rows, of every kind of source and data in turn, until there are `groups` groups."""
    for number in range(-(-groups * size // (128 * COLUMNS))):
        kind = ("gaussian", "student-t6", "codes")[number % 3]
        if kind == "codes":  # any codes and scales at all
            codes = rng.integers(0, 256, 128 * COLUMNS // 2).astype(np.uint8)
            low = int(rng.integers(100, 120))
            scales = rng.integers(low, low + int(rng.integers(1, 12)), 128 * COLUMNS // 32).astype(np.uint8)
            yield kind, (SourceTensor("fp4", (128, COLUMNS), "I8"), codes, scales)
        else:
            make = (fp4, bf16, fp4, fp8)[number // 3 % 4]
            yield f"{make.__name__} {kind}", make(weights(kind, 128, rng))


def worse(asked: argparse.Namespace) -> None:
    rng = np.random.default_rng(0)
    formats = [Affine(b, g, s, "mse") for b in BITS for g in GROUPS for s in ("bfloat16", "float16")]
    share = -(-asked.groups // len(formats))
    counted, more = 0, [0, 0, 0, 0]
    for fmt in formats:
        for _, raw in samples(share, fmt.group_size, rng):
            exact = decode_source(*raw).astype(np.float64)
            found = []
            for each in (replace(fmt, fit="minmax"), fmt):
                parts = encode(each, *raw)
                seen = (
                    decode_parts(each, raw[0], parts),
                    mlx_reads(each, raw, parts, False),
                    mlx_reads(each, raw, parts, True),
                    mlx_reads(each, raw, parts, False, True),
                )
                found.append([by_group((values - exact) ** 2, fmt.group_size) for values in seen])
            counted += found[0][0].size
            more = [n + int((after > before).sum()) for n, before, after in zip(more, *found, strict=True)]
        ways = ("as we decode", "as mlx does in float32", "in the half type", "in float32, then rounded to it")
        said = ", ".join(f"{n} {way}" for n, way in zip(more, ways, strict=True))
        print(f"{fmt.bits}-bit g{fmt.group_size} {fmt.scales}: {counted:,} groups so far; worse: {said}", flush=True)


def speed(_: argparse.Namespace) -> None:
    print("| source | bits | group | fit | million weights/s, median | best |\n|---|---:|---:|---|---:|---:|")
    values = weights("gaussian", 1024, np.random.default_rng(0))
    sources = {name: make(values) for name, make in MAKE.items()}
    columns = np.exp(np.random.default_rng(1).standard_normal(COLUMNS)).astype(np.float32)
    cases = [("fp4", b, 32) for b in BITS] + [
        ("fp4", 4, 64),
        ("fp4", 4, 128),
        ("bf16", 4, 64),
        ("bf16", 8, 32),
        ("fp8", 8, 32),
    ]
    for name, bits, size in cases:
        for fit, importance in (("minmax", "none"), ("mse", "none"), ("mse", "file")):
            fmt = Affine(bits, size, "bfloat16", fit, importance)
            given = columns if importance == "file" else None
            encode(fmt, *sources[name], importance=given)
            rates = []
            for _ in range(5):
                start = time.thread_time()
                encode(fmt, *sources[name], importance=given)
                rates.append(values.size / 1e6 / (time.thread_time() - start))
            word = fit + (" by importance" if given is not None else "")
            print(
                f"| {name} | {bits} | {size} | {word} | {statistics.median(rates):.1f} | {max(rates):.1f} |", flush=True
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("errors", "worse", "speed"))
    parser.add_argument("--weights", type=int, default=1 << 22)
    parser.add_argument("--sigma", type=float, default=1.0)
    parser.add_argument("--groups", type=int, default=10_000_000)
    parser.add_argument("--bits", default=",".join(map(str, BITS)))
    parser.add_argument("--source", choices=tuple(MAKE), default="fp4")
    asked = parser.parse_args()
    mx.set_default_device(mx.cpu)
    {"errors": errors, "worse": worse, "speed": speed}[asked.what](asked)


if __name__ == "__main__":
    main()
