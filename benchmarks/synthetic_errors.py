"""The table of errors that `allocate --errors synthetic` reads: `python benchmarks/synthetic_errors.py [FILE]`.

Gaussian weights, stored as the checkpoint stores them: through the FP4 grid with one power of two per 32
columns (by the ceil rule), through FP8 with one per 128 × 128 tile, and as BF16. Every format is measured on them. Same
machine or another: same bytes.
"""

from __future__ import annotations

import sys
from pathlib import Path

from dsv4recipe.allocation.error_table import SYNTHETIC, ErrorTable, errors_text
from dsv4recipe.allocation.measure import distances
from dsv4recipe.checkpoint.synth_values import Draw, bf16, fp4, fp8
from dsv4recipe.formats import Affine, Format, Keep, Mxtq, SourceTensor
from dsv4recipe.formats.affine.spec import BITS, GROUP_SIZES
from dsv4recipe.formats.decode import Bytes

ROWS, COLUMNS, SEED = 1024, 4096, 0
FITS = ("minmax", "mse")
FORMATS: tuple[Format, ...] = (
    *(Affine(b, g, half, fit) for half in ("bfloat16", "float16") for fit in FITS for b in BITS for g in GROUP_SIZES),
    Mxtq(2), Mxtq(4), Keep("BF16"), Keep("F16"),
)  # fmt: skip


def stored(kind: str) -> tuple[SourceTensor, Bytes, Bytes | None]:
    """Rows of Gaussian weights as a checkpoint stores them."""
    values = Draw(SEED, kind).normal((ROWS, COLUMNS), COLUMNS**-0.5)
    shape = (ROWS, COLUMNS)
    if kind == "fp4":
        codes, scales = fp4(values)
        return SourceTensor("fp4", shape, "I8"), codes, scales
    if kind == "fp8":
        codes, scales = fp8(values, (128, 128))
        return SourceTensor("fp8", shape, "F8_E4M3", (128, 128)), codes, scales
    return SourceTensor("bf16", shape, "BF16"), bf16(values).view("u1"), None


def table() -> ErrorTable:
    """Relative squared error of every format on every way to store a source."""
    errors = {}
    for kind in ("fp4", "fp8", "bf16"):
        source, weight, scale = stored(kind)
        lossy = [fmt for fmt in FORMATS if not fmt.lossless(source) and not fmt.problem(source)]
        found = distances(source, weight.reshape(-1), None if scale is None else scale.reshape(-1), lossy)
        errors[kind] = {fmt.error_key: float(f"{error / power:.6g}") for fmt, (error, power) in found.items()}
    evidence = f"Gaussian weights as the checkpoint stores them, {ROWS} rows of {COLUMNS}, seed {SEED}; no real weight"
    return ErrorTable("synthetic", evidence, errors)


if __name__ == "__main__":
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else SYNTHETIC
    out.write_text(errors_text(table()), encoding="utf-8")
