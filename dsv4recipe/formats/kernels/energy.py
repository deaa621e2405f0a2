"""Floor 1, formats, kernels. The energy of columns: sums of squares, in the order of the rows."""

from __future__ import annotations

from dsv4recipe.formats.kernels.jit import kernel


@kernel
def add_squares(values, out):  # type: ignore[no-untyped-def]
    """values float32 [n, columns], out float64 [columns]: adds each value's square, which float64 holds exactly."""
    for r in range(values.shape[0]):
        row = values[r]
        for j in range(row.size):
            out[j] += float(row[j]) * float(row[j])
