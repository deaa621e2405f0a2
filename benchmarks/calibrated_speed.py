"""One routed expert of V4-Flash encoded by a record: processor seconds for gate, up and down, all fits and H included.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python -m benchmarks.calibrated_speed [--tokens 768] [--repeat 3]

Beside them, in the same process on the same numbers, an implementation with numpy's BLAS and LAPACK: the same H, its
Cholesky factor in float32, and the same feedback by blocks, each group's range taken from its extremes. It has no
search for scales, no sweep, and its bits depend on the library. Its H is that of the expert alone. Pools are made once
for a layer of 256 experts, so a 256th of them counts. Made-up weights and inputs: time does not depend on their values.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator

import numpy as np

from dsv4recipe.formats import Affine, Mxtq
from dsv4recipe.formats.base import SourceTensor
from dsv4recipe.formats.calibrated.encode import encode_calibrated, rotated
from dsv4recipe.formats.calibrated.moments import moments, pooled
from dsv4recipe.formats.decode import Bytes, decode_source
from dsv4recipe.formats.kernels.calibrated.product import DEPTH
from dsv4recipe.guidance.hidden import hidden
from dsv4recipe.plan.pieces import Beside, Span
from dsv4recipe.records.rows import Floats, packed, unpacked

HIDDEN, INTER, EXPERTS, POOLED = 4096, 2048, 256, 4096
FORMATS = (Affine(2, 64, "float16", "gptq"), Affine(3, 128, "float16", "gptq"), Affine(4, 32, "float16", "gptq"),
           Mxtq(2, fit="gptq"), Mxtq(4, fit="gptq"))  # fmt: skip
Matrix = tuple[SourceTensor, Bytes, Bytes]


def matrix(rows: int, columns: int, generator: np.random.Generator) -> Matrix:
    codes = generator.integers(0, 256, rows * columns // 2, dtype=np.uint8)
    return (
        SourceTensor("fp4", (rows, columns), "I8"),
        codes,
        generator.integers(118, 121, rows * columns // 32, np.uint8),
    )


class Expert:
    """Gate, up, down, and the tokens that reach them, as a record keeps them."""

    def __init__(self, tokens: int) -> None:
        generator = np.random.default_rng(0)
        self.matrices = [matrix(*shape, generator) for shape in ((INTER, HIDDEN), (INTER, HIDDEN), (HIDDEN, INTER))]
        self.weights = generator.random(tokens, np.float32)
        wide, narrow = (generator.normal(0, 1, (POOLED, size)).astype(np.float32) for size in (HIDDEN, INTER))
        self.rows = packed(wide[:tokens], "int8")
        self.pools = {HIDDEN: wide, INTER: narrow}

    def inputs(self, part: slice) -> Floats:
        values, scales = self.rows
        return unpacked(values[part], None if scales is None else scales[part])

    def hidden(self) -> Floats:
        spans: dict[Span, Bytes] = {}
        beside = []
        for number, (source, codes, scales) in enumerate(self.matrices[:2]):
            places = (Span(f"{number}", 0, codes.size), Span(f"{number}", codes.size, codes.size + scales.size))
            spans |= dict(zip(places, (codes, scales), strict=True))
            beside.append(Beside(source, *places))
        return hidden(self.inputs, self.weights, beside, 10.0, spans.__getitem__)


def ours(expert: Expert, fmt: Affine | Mxtq) -> dict[str, float]:
    """Processor seconds by what they go to."""

    def blocks(rows: Callable[[slice], Floats], count: int) -> Callable[[], Iterator[Floats]]:
        return lambda: (rotated(fmt, rows(slice(at, min(at + DEPTH, count)))) for at in range(0, count, DEPTH))

    found: dict[str, float] = {}
    tokens = len(expert.weights)
    begin = time.process_time()
    values = expert.hidden()
    found["inputs of down"] = time.process_time() - begin
    for name, size, given, count in (
        ("gate, up", HIDDEN, expert.inputs, 2), ("down", INTER, lambda part: values[part], 1)
    ):  # fmt: skip
        begin = time.process_time()
        pool = pooled(blocks(expert.pools[size].__getitem__, POOLED), size)
        found["pools / 256"] = found.get("pools / 256", 0.0) + (time.process_time() - begin) / EXPERTS
        begin = time.process_time()
        known = moments(blocks(given, tokens), tokens, size, fmt.rounding_group, pool)
        found[f"H of {name}"] = time.process_time() - begin
        matrices = expert.matrices[:2] if count == 2 else expert.matrices[2:]
        begin = time.process_time()
        for each in matrices:
            encode_calibrated(fmt, *each, known)
        found[f"codes of {name}"] = time.process_time() - begin
    return found


def theirs(expert: Expert, fmt: Affine) -> float:
    """Processor seconds of the same feedback by numpy."""
    begin = time.process_time()
    inputs = expert.inputs(slice(None))
    gate, up, down = (decode_source(*each) for each in expert.matrices)
    left, right = inputs @ gate.T, inputs @ up.T
    inner = left / (1 + np.exp(-np.clip(left, -80, 80))) * right * expert.weights[:, None]
    _fed_back((gate, up), inputs, fmt)
    _fed_back((down,), inner, fmt)
    return time.process_time() - begin


def _fed_back(matrices: tuple[Floats, ...], inputs: Floats, fmt: Affine) -> None:
    h = inputs.T @ inputs / np.float32(len(inputs))
    h[np.diag_indices_from(h)] += np.float32(0.02) * h.diagonal().mean()
    lower = np.linalg.cholesky(h[::-1, ::-1])[
        ::-1, ::-1
    ].T  # upper triangles the other way round: columns from the first
    factor = np.ascontiguousarray(lower / lower.diagonal()[:, None])
    levels = np.float32((1 << fmt.bits) - 1)
    size = len(h)
    for weights in matrices:
        targets, errors = weights.T.copy(), np.zeros(weights.T.shape, np.float32)
        for first in range(0, size, fmt.group_size):
            last = first + fmt.group_size
            targets[first:last] += factor[:first, first:last].T @ errors[:first]
            low, high = targets[first:last].min(0), targets[first:last].max(0)
            scale = np.maximum((high - low) / levels, np.float32(1e-30))
            for column in range(first, last):
                wanted = targets[column] + factor[first:column, column] @ errors[first:column]
                read = np.clip(np.rint((wanted - low) / scale), 0, levels) * scale + low
                errors[column] = weights.T[column] - read


def main() -> None:
    parser = argparse.ArgumentParser(description="One calibrated expert at V4-Flash's shapes.")
    parser.add_argument("--tokens", type=int, default=768)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[])
    given = parser.parse_args()
    expert = Expert(given.tokens)
    for fmt in FORMATS:
        if given.only and not any(word in str(fmt.label) for word in given.only):
            continue
        ours(Expert(64), fmt)  # compiles
        runs = [ours(expert, fmt) for _ in range(given.repeat)]
        best = min(runs, key=lambda run: sum(run.values()))
        parts = ", ".join(f"{name} {seconds:.2f}" for name, seconds in best.items())
        beside = ""
        if isinstance(fmt, Affine):
            numpy = min(theirs(expert, fmt) for _ in range(given.repeat))
            beside = f"; numpy {numpy:.2f}, ratio {sum(best.values()) / numpy:.2f}"
        total = sum(best.values())
        print(f"{fmt.label}: {total:.2f} core-seconds an expert ({parts}){beside}", flush=True)
        print(f"  V4-Flash's 11,008 experts, extrapolated: {total * 11008 / 3600:.1f} core-hours", flush=True)


if __name__ == "__main__":
    main()
