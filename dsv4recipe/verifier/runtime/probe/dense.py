"""Floor 4, verifier (child side). Fills the runtime's model class with the source's own weights, decoded to float32.

The result is what the class computes without any quantization, to which bundles in that runtime are compared.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlx.core as mx

from .adapter import Adapter
from .source import decode, folder_of


def dense_model(runtime: Adapter, source: Path) -> Any:
    """Returns the source's model with every parameter filled (strictly) and nothing quantized. Raises what `decode`
    raises."""
    config, weights = decode(source)
    model = runtime.build(config)
    arrays = {name: mx.array(value) for name, value in weights.items()}
    model.load_weights(list(model.sanitize(arrays).items()), strict=True)
    model.eval()
    runtime.settle(model, folder_of(source))
    return model
