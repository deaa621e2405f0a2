"""The relative RMSE of every lossy format over weights of many kinds: where the bands of `verify --source` come from.

    python benchmarks/bands.py [--rows 256]

Weights [rows, 4096] are Gaussian, Laplace, Student-t with 5 degrees of freedom, uniform, and Gaussian with one weight
in a thousand ten times as large; each as bfloat16, through FP8 with scales per 128 × 128 and through FP4 with scales
per 32 (both scales by the rule that no value is clipped), as DeepSeek stores them. Prints a table for
docs/explanation/numbers.md, then the figures of `MEASURED`: formats/affine/bands.py,
formats/mxtq/spec.py and formats/ggml/spec.py.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np

from dsv4recipe.formats import Affine, Format, Ggml, Mxtq, SourceTensor
from dsv4recipe.formats.affine.spec import BITS, GROUP_SIZES
from dsv4recipe.formats.decode import decode_parts, decode_source
from dsv4recipe.formats.encode import encode
from dsv4recipe.formats.ggml.spec import IMPORTANCE, WEIGHTED
from dsv4recipe.formats.kernels.compare import distance
from dsv4recipe.formats.kernels.tables import FP4, FP8

COLUMNS = 4096
Source = tuple[SourceTensor, np.ndarray, np.ndarray | None]


def weights(rows: int) -> Iterator[tuple[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    shape = (rows, COLUMNS)
    yield "Gaussian", rng.standard_normal(shape) * 0.02
    yield "Laplace", rng.laplace(size=shape) * 0.02
    yield "Student-t(5)", rng.standard_t(5, shape) * 0.02
    yield "uniform", rng.uniform(-0.05, 0.05, shape)
    yield "outliers", rng.standard_normal(shape) * np.where(rng.random(shape) < 0.001, 0.2, 0.02)


def nearest(values: np.ndarray, table: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """The code of the nearest value of an ascending table, by magnitude; sign on top."""
    place = np.searchsorted((table[1:] + table[:-1]) / 2, np.abs(values))
    return codes[place]


def sources(values: np.ndarray) -> Iterator[tuple[str, Source]]:
    """The three ways in which the checkpoint stores a matrix."""
    rows = len(values)
    bits = values.astype(np.float32).view(np.uint32)
    yield (
        "BF16",
        (
            SourceTensor("bf16", values.shape, "BF16"),
            ((bits + 0x8000) >> 16).astype(np.uint16).view(np.uint8).ravel(),
            None,
        ),
    )
    tiles = np.abs(values).reshape(rows // 128, 128, COLUMNS // 128, 128).max((1, 3))
    power = np.ceil(np.log2(tiles / 448)).astype(int)
    scaled = values / np.exp2(np.kron(power, np.ones((128, 128))))
    codes = nearest(scaled, FP8[:127], np.arange(127, dtype=np.uint8)) | np.where(scaled < 0, 128, 0).astype(np.uint8)
    yield (
        "FP8",
        (
            SourceTensor("fp8", values.shape, "F8_E4M3", (128, 128)),
            codes.ravel(),
            (power + 127).astype(np.uint8).ravel(),
        ),
    )
    power = np.ceil(np.log2(np.abs(values).reshape(rows, -1, 32).max(2) / 6)).astype(int)
    scaled = values / np.exp2(np.repeat(power, 32, 1))
    nibbles = nearest(scaled, FP4[:8], np.arange(8, dtype=np.uint8)) | np.where(scaled < 0, 8, 0).astype(np.uint8)
    packed = nibbles[:, ::2] | nibbles[:, 1::2] << 4
    yield (
        "FP4",
        (
            SourceTensor("fp4", values.shape, "I8"),
            packed.astype(np.uint8).ravel(),
            (power + 127).astype(np.uint8).ravel(),
        ),
    )


def formats() -> Iterator[Format]:
    for bits in BITS:
        for size in GROUP_SIZES:
            yield Affine(bits, size, "bfloat16")
    yield from (Mxtq(2, 42), Mxtq(4, 42))
    yield Ggml("Q8_0")
    for type_ in WEIGHTED:
        yield from (Ggml(type_, each) for each in IMPORTANCE if (type_, each) != ("IQ2_XXS", "none"))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=256)
    rows = parser.parse_args().rows
    made = [(f"{kind}, {stored}", source) for kind, values in weights(rows) for stored, source in sources(values)]
    found: dict[tuple[str, int | str, int], dict[str, float]] = {}
    for fmt in formats():
        key = (fmt.kind, getattr(fmt, "bits", 0) or getattr(fmt, "type", ""), getattr(fmt, "group_size", 0))
        why = f", importance {fmt.importance}" if isinstance(fmt, Ggml) and fmt.type in WEIGHTED else ""
        for name, source in made:
            error, power, _ = distance(decode_source(*source), decode_parts(fmt, source[0], encode(fmt, *source)))
            found.setdefault(key, {})[name + why] = (error / power) ** 0.5
    print("| format | least | on | greatest | on |\n|---|---|---|---|---|")
    for (kind, bits, size), by in found.items():
        low, high = min(by, key=by.__getitem__), max(by, key=by.__getitem__)
        what = bits if isinstance(bits, str) else f"{kind} {bits}-bit"
        group = f", group size {size}" if size else ""
        print(f"| {what}{group} | {by[low]:.4f} | {low} | {by[high]:.4f} | {high} |")
    print()
    for key, by in found.items():
        name = f'"{key[1]}"' if isinstance(key[1], str) else key[1]
        print(f'    ("{key[0]}", {name}, {key[2]}): ({min(by.values()):.4f}, {max(by.values()):.4f}),')


if __name__ == "__main__":
    main()
