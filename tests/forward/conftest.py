"""The yardstick and the whole-model pass that the layer-streamed one is compared with. Everything here needs torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dsv4recipe import open_checkpoint
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.forward.names import parameter
from dsv4recipe.forward.weights import Weights
from tests.measuring import YARDSTICK


@pytest.fixture(scope="session")
def yardstick() -> Checkpoint:
    """The trained small DeepSeek-V4."""
    return open_checkpoint(YARDSTICK / "checkpoint")


@pytest.fixture(scope="session")
def dev() -> NDArray[Any]:
    """Tokens that neither training nor calibration saw."""
    return np.load(YARDSTICK / "dev.npy").astype(np.int64)


@pytest.fixture(scope="session")
def sequences(dev: NDArray[Any]) -> list[NDArray[Any]]:
    """Two sequences of one length and a shorter one, long enough for a compressed block of 128 tokens."""
    return [dev[:160], dev[1000:1160], dev[2000:2037]]


def whole_model(checkpoint: Checkpoint, weights: Weights) -> Any:
    """transformers' whole model with the numbers of `weights`, all in memory."""
    import torch
    from transformers.models.deepseek_v4 import DeepseekV4Config, DeepseekV4ForCausalLM

    left_out = ("torch_dtype", "expert_dtype", "quantization_config")
    config = DeepseekV4Config(**{k: v for k, v in checkpoint.config.items() if k not in left_out})
    config._attn_implementation = "eager"
    model = DeepseekV4ForCausalLM(config).eval()
    state: dict[str, Any] = {}
    halves: dict[str, dict[str, Any]] = {}
    for group in checkpoint.groups:
        if group.slot.block != "main":
            continue
        members = [torch.from_numpy(np.array(weights.tensor(group, n))) for n in range(len(group.members))]
        name = parameter(group.slot)
        if group.experts:
            halves.setdefault(name, {})[group.slot.row.projection] = torch.stack(members)
        else:
            state[name] = members[0]
    for name, parts in halves.items():
        state[name] = parts["down"] if "down" in parts else torch.cat([parts["gate"], parts["up"]], 1)
    model.load_state_dict(state)
    return model


def whole_logits(model: Any, sequence: NDArray[Any]) -> NDArray[Any]:
    """float32 [tokens, vocab] of one sequence."""
    import torch

    with torch.no_grad():
        found: NDArray[Any] = model(torch.from_numpy(sequence)[None], use_cache=False).logits[0].numpy()
    return found
