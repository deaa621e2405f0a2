"""Floor 1, formats, kernels. MLX affine words, scales and biases → float32. See docs/reference/formats.md."""

from __future__ import annotations

import numpy as np

from dsv4recipe.formats.kernels.jit import kernel


@kernel
def affine_rows(words, scales, biases, bits, group_size, out):  # type: ignore[no-untyped-def]
    """words uint32 [n, in·bits/32], scales, biases float32 [n, in/group_size] → out float32 [n, in] = q·s + z."""
    mask = (1 << bits) - 1
    for r in range(out.shape[0]):
        row = words[r]
        for group in range(scales.shape[1]):
            scale, bias = scales[r, group], biases[r, group]
            for j in range(group * group_size, (group + 1) * group_size):
                word, shift = j * bits // 32, j * bits % 32
                stream = np.int64(row[word]) >> shift
                if shift + bits > 32:
                    stream |= np.int64(row[word + 1]) << (32 - shift)
                out[r, j] = np.float32(stream & mask) * scale + bias
