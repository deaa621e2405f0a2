"""Floor 2, runtimes (child side). Says how the probe loads a bundle in mlx-vlm 0.7.10."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from dsv4recipe.verifier.runtime.probe.adapter import Adapter


class MlxVlm(Adapter):
    """mlx-vlm 0.7.10. Its class has no causal mask without a cache, so it is never run without one."""

    uncached = False

    def bring(self) -> None:
        for module in ("mlx_vlm.models.deepseek_v4", "mlx_vlm.utils"):
            import_module(module)

    def build(self, config: dict[str, Any]) -> Any:
        from mlx_vlm.utils import get_model_and_args

        module = get_model_and_args(config=dict(config))[0]
        return module.Model(module.ModelConfig.from_dict(config))

    def load(self, bundle: Path) -> Any:
        from mlx_vlm.utils import load_model

        return load_model(bundle, lazy=True)

    def settle(self, model: Any, folder: Path) -> None:
        model.model_path = folder  # where V4.1 finds the tokenizer that its Engram hashes are made of

    def text(self, model: Any) -> Any:
        return model.language_model

    def logits(self, model: Any, ids: Any, cache: Any) -> Any:
        return model.language_model(ids, cache=cache).logits


ADAPTERS = {"mlx-vlm": MlxVlm}
