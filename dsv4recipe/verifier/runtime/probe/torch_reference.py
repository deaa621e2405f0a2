"""Floor 4, verifier (child side). Runs transformers' torch implementation, a reference that shares nothing with MLX.

It runs a tiny source checkpoint, decoded to float32, through `transformers`' own class and its own conversion mapping.
It needs torch and transformers with `deepseek_v4`, but no mlx.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from .source import decode

NAME = "transformers"


def bring() -> None:
    """Imports what it needs."""
    import torch  # noqa: F401
    from transformers.models.deepseek_v4 import DeepseekV4ForCausalLM  # noqa: F401


def load(source: Path, scratch: Path) -> tuple[Any, dict[str, Any]]:
    """Returns the model in float32 with plain (eager) attention, and {"missing", "unexpected"} of its strict load.

    The decoded weights go through a file in `scratch`, because from_pretrained applies the mapping of names.
    """
    import torch
    from safetensors.numpy import save_file
    from transformers.models.deepseek_v4 import DeepseekV4ForCausalLM

    config, weights = decode(source)
    folder = scratch / "decoded"
    folder.mkdir(parents=True)
    save_file({name: np.ascontiguousarray(value) for name, value in weights.items()}, folder / "model.safetensors")
    stored = {key: value for key, value in config.items() if key not in ("torch_dtype", "dtype", "expert_dtype")}
    (folder / "config.json").write_text(json.dumps(stored), encoding="utf-8")
    model, info = DeepseekV4ForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    names = {"missing": sorted(info["missing_keys"]), "unexpected": sorted(info["unexpected_keys"])}
    return model.eval(), names | {"misshapen": sorted(map(str, info["mismatched_keys"]))}


def logits(model: Any, ids: list[int]) -> np.ndarray:
    """Returns float32 [positions, vocab] of one prefill."""
    import torch

    with torch.no_grad():
        return np.asarray(model(torch.tensor([ids]), use_cache=False).logits[0].float().numpy())
