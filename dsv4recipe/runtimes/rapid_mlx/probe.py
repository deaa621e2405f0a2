"""Floor 2, runtimes (child side). Says how the probe loads a bundle in Rapid-MLX 0.16.10."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from dsv4recipe.verifier.runtime.probe.adapter import Adapter


class RapidMlx(Adapter):
    """Rapid-MLX 0.16.10: its own class under mlx-lm's loader, with its translation of config.json's entries."""

    def bring(self) -> None:
        import_module("rapid_mlx.models.deepseek_v4")
        import_module("rapid_mlx.utils.tokenizer")._register_vendored_archs()

    def load(self, bundle: Path) -> Any:
        from mlx_lm.utils import load_model
        from rapid_mlx.model_load_errors import load_model_checked
        from rapid_mlx.utils.tokenizer import _deepseek_v4_quantization_override

        overlay = _deepseek_v4_quantization_override(bundle) or {}
        return load_model_checked(load_model, bundle, model_config=overlay, lazy=True)[0]


ADAPTERS = {"rapid-mlx": RapidMlx}
