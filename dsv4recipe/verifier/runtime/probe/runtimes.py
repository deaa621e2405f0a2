"""Floor 4, verifier (child side). The runtimes by name: how each builds, loads and runs a model of its own class.

Nothing of a runtime is imported before it is asked for: an interpreter that has one of them need not have the others.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any


class Runtime:
    """mlx-lm's loader on the classes that it finds, and what the others start from.

    `replayed`: names and widths are replayed on the unfilled class (`skeleton`), because the loader or its siblings are
    lenient and say nothing; otherwise the strict loader itself is watched (`witness`). `uncached`: the class may be run
    without a cache. `reads_mxtq`: it reads MXTQ tensors.
    """

    replayed = False
    uncached = True
    reads_mxtq = False

    def bring(self) -> None:
        """Import what the loader needs."""
        import_module("mlx_lm.utils")

    def prepare(self, has_mxtq: bool) -> list[str]:  # noqa: ARG002 - for those that need help
        """Install stand-ins for what this machine cannot run; the names of the functions that they replace."""
        return []

    def build(self, config: dict[str, Any]) -> Any:
        """An unquantized, unfilled model of the runtime's class for a config.json. Raises what the class raises."""
        from mlx_lm.utils import _get_classes

        model_class, args_class = _get_classes(config)
        return model_class(args_class.from_dict(config))

    def settle(self, model: Any, folder: Path) -> None:
        """What the loader tells a filled model of the folder that it came from."""

    def load(self, bundle: Path) -> Any:
        """The bundle through the runtime's own loader, lazily where the loader can."""
        from mlx_lm.utils import load_model

        return load_model(bundle, lazy=True, strict=True)[0]

    def text(self, model: Any) -> Any:
        """The module that holds `model` (the transformer) and `lm_head`."""
        return model

    def logits(self, model: Any, ids: Any, cache: Any) -> Any:
        """[1, positions, vocab] for ids [1, n]; some classes give the last position only."""
        return model(ids, cache=cache)


class RapidMlx(Runtime):
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


class MlxVlm(Runtime):
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


def runtimes() -> dict[str, Runtime]:
    """Every runtime by name."""
    from .jang import Jang, JangStrict, Vmlx

    return {
        "jang-strict": JangStrict(),
        "jang": Jang(),
        "vmlx": Vmlx(),
        "mlx-vlm": MlxVlm(),
        "rapid-mlx": RapidMlx(),
        "mlx-lm": Runtime(),
    }


def config_of(bundle: Path) -> dict[str, Any]:
    """config.json."""
    config: dict[str, Any] = json.loads((bundle / "config.json").read_text(encoding="utf-8"))
    return config
