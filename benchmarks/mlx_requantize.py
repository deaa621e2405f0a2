"""What mlx itself takes for the second half of today's way: load, dequantize, quantize, save; experts only.

    python -m benchmarks.mlx_requantize NATIVE_BUNDLE OUT.safetensors

NATIVE_BUNDLE is what `build native` made (experts as mxfp4). mlx-lm and mlx-vlm do the same through a model class, but
cannot load a DeepSeek-V4 source today; this leaves the class out, so it is a lower bound for them.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import mlx.core as mx


def main(bundle: Path, out: Path) -> None:
    weights = {
        name: array for path in sorted(bundle.glob("*.safetensors")) for name, array in mx.load(str(path)).items()
    }
    made = {}
    for name, packed in weights.items():
        stem, _, suffix = name.rpartition(".")
        if ".switch_mlp." in name and suffix == "weight":
            dense = mx.dequantize(packed, weights[f"{stem}.scales"], group_size=32, bits=4, mode="mxfp4")
            made[name], made[f"{stem}.scales"], made[f"{stem}.biases"] = mx.quantize(dense, group_size=32, bits=4)
            mx.eval(made[name], made[f"{stem}.scales"], made[f"{stem}.biases"])
    mx.save_safetensors(str(out), made, metadata={"format": "mlx"})
    with out.open("rb+") as stream:
        os.fsync(stream.fileno())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
