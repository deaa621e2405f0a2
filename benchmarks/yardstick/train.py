"""Trains transformers' own deepseek_v4 class on the corpus; towards the end every weight is rounded as it is stored.

AdamW with a warm-up and a cosine; each batch is rows of the Bible and rows of sums. Straight through (Bengio et al.
2013): the forward pass uses the rounded weight, the gradient goes to the unrounded one. The router's correction bias
follows the load of the experts without a loss of its own (Wang et al. 2024, arXiv 2408.15664). The indexer gets no
gradient in this class, so it stays as it was drawn.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.yardstick.corpus import Corpus, sum_text


@dataclass(frozen=True)
class Recipe:
    """Steps of `batch` rows of `length` tokens; of the rows, `sums` are filled with sums. From step `rounded` on the
    forward pass sees stored values. `every`: steps between two saved states."""

    steps: int = 2550
    batch: int = 8
    length: int = 256
    sums: int = 2
    rate: float = 3e-3
    warm: int = 100
    rounded: int = 910
    balance: float = 1e-3
    every: int = 100
    seed: int = 0


def model_config(config: dict[str, Any]) -> Any:
    """The class's configuration of a config.json in the release's layout."""
    from transformers.models.deepseek_v4 import DeepseekV4Config

    left_out = ("torch_dtype", "expert_dtype", "quantization_config")
    made = DeepseekV4Config(**{key: value for key, value in config.items() if key not in left_out})
    made._attn_implementation = "eager"
    return made


def new_model(config: dict[str, Any], seed: int) -> Any:
    """A model with drawn weights and hash tables that spread tokens evenly."""
    from transformers.models.deepseek_v4 import DeepseekV4ForCausalLM

    torch.manual_seed(seed)
    model = DeepseekV4ForCausalLM(model_config(config))
    draw = np.random.default_rng(seed)
    for layer in model.model.layers:
        if layer.mlp.is_hash:
            table = layer.mlp.gate.tid2eid
            rows = [draw.permutation(config["n_routed_experts"])[: table.shape[1]] for _ in range(table.shape[0])]
            table.copy_(torch.from_numpy(np.stack(rows)))
    return model


def rounded(name: str, weight: Any) -> Any:
    """The value that is stored for a weight: FP4 in groups of 32, FP8 in tiles of 128, else bfloat16 or itself."""
    if ".mlp.experts." in name:
        return _blocks(weight, (1, 32), 6.0, _e2m1)
    plain = ("compressor.kv_proj", "compressor.gate_proj", "indexer.kv_proj", "indexer.gate_proj", "weights_proj")
    matrix = ".self_attn." in name or ".shared_experts." in name
    if matrix and weight.ndim == 2 and name.endswith("proj.weight") and not any(part in name for part in plain):
        return _blocks(weight, (128, 128), 448.0, lambda x: x.to(torch.float8_e4m3fn).to(x.dtype))
    exact = ("sinks", "position_bias", "_hc.", "hc_head")
    return weight if any(part in name for part in exact) else weight.bfloat16().to(weight.dtype)


def _blocks(weight: Any, block: tuple[int, int], top: float, code: Any) -> Any:
    rows, columns = weight.shape[-2:]
    shape = (*weight.shape[:-2], rows // block[0], block[0], columns // block[1], block[1])
    parts = weight.reshape(shape)
    most = parts.abs().amax((-3, -1), keepdim=True).clamp_min(2.0**-100)
    scale = torch.exp2(torch.ceil(torch.log2(most / top)))
    return (code(parts / scale) * scale).reshape(weight.shape)


def _e2m1(values: Any) -> Any:
    """Nearest of 0, 0.5, 1, 1.5, 2, 3, 4, 6 with the sign."""
    size = values.abs()
    step = torch.where(size < 2, 0.5, torch.where(size < 4, 1.0, 2.0))
    return torch.copysign((size / step).round() * step, values).clamp(-6, 6)


class Rounds:
    """While it is entered, parameters hold stored values; gradients that arrive belong to the unrounded ones."""

    def __init__(self, model: Any) -> None:
        self.named = list(model.named_parameters())
        self.held: list[Any] = []

    def __enter__(self) -> None:
        self.held = [parameter.data for _, parameter in self.named]
        for name, parameter in self.named:
            parameter.data = rounded(name, parameter.data)

    def __exit__(self, *_: object) -> None:
        for (_, parameter), data in zip(self.named, self.held, strict=True):
            parameter.data = data


def stored_state(model: Any) -> dict[str, Any]:
    """The state dict with the values that are stored."""
    names = {name for name, _ in model.named_parameters()}
    state = {name: value.detach() for name, value in model.state_dict().items()}
    return {name: rounded(name, value) if name in names else value for name, value in state.items()}


def rows(corpus: Corpus, recipe: Recipe, step: int) -> Any:
    """The batch of a step: it follows from the seed and the step alone, so a training that goes on sees the same."""
    draw = np.random.default_rng([recipe.seed, step])
    made: list[NDArray[Any]] = []
    for _ in range(recipe.batch - recipe.sums):
        first = draw.integers(0, len(corpus.train) - recipe.length)
        made.append(corpus.train[first : first + recipe.length].astype(np.int64))
    for _ in range(recipe.sums):
        chosen = draw.integers(0, len(corpus.pairs["seen"]), recipe.length // 12)
        texts = [sum_text(*corpus.pairs["seen"][number]) for number in chosen]
        made.append(_ids(corpus.tokenizer, texts)[: recipe.length])
    return torch.from_numpy(np.stack(made))


def _ids(tokenizer: str, texts: list[str]) -> NDArray[np.int64]:
    from tokenizers import Tokenizer

    made: Any = Tokenizer.from_str(tokenizer)
    return np.array(made.encode("".join(texts), add_special_tokens=False).ids, np.int64)


def rate(recipe: Recipe, step: int) -> float:
    """Warm-up, then a cosine to a fiftieth."""
    if step < recipe.warm:
        return recipe.rate * (step + 1) / recipe.warm
    done = (step - recipe.warm) / max(1, recipe.steps - recipe.warm)
    return recipe.rate * (0.02 + 0.98 * (1 + math.cos(math.pi * min(1.0, done))) / 2)


def balance(model: Any, loads: dict[int, Any], by: float) -> None:
    """Raises the correction bias of experts that got less than their share, lowers that of the others."""
    for number, load in loads.items():
        bias = model.model.layers[number].mlp.gate.e_score_correction_bias
        bias += by * torch.sign(load.mean() - load)


def train(model: Any, corpus: Corpus, recipe: Recipe, work: Path, until: float = math.inf) -> int:
    """Trains to the last step, or until the clock says `until`; saves its state in `work` and goes on from there.
    Returns the steps done."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}], betas=(0.9, 0.95)
    )
    state = work / "state.pt"
    first = 0
    if state.exists():
        held = torch.load(state, weights_only=True)
        model.load_state_dict(held["model"])
        optimizer.load_state_dict(held["optimizer"])
        first = held["step"]
    loads: dict[int, Any] = {}
    for number, layer in enumerate(model.model.layers):
        if not layer.mlp.is_hash:
            layer.mlp.gate.register_forward_hook(_counts(loads, number))
    rounds = Rounds(model)
    for step in range(first, recipe.steps):
        began = time.monotonic()
        for group in optimizer.param_groups:
            group["lr"] = rate(recipe, step)
        ids = rows(corpus, recipe, step)
        if step >= recipe.rounded:
            with rounds:
                loss = _loss(model, ids)
                loss.backward()
        else:
            loss = _loss(model, ids)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        balance(model, loads, recipe.balance)
        print(f"step {step} loss {float(loss):.4f} {time.monotonic() - began:.1f} s", flush=True)
        last = step + 1 == recipe.steps or time.time() > until
        if last or (step + 1) % recipe.every == 0:
            held = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
            torch.save(held, state.with_suffix(".tmp"))
            state.with_suffix(".tmp").replace(state)
        if last:
            return step + 1
    return recipe.steps


def _loss(model: Any, ids: Any) -> Any:
    logits = model(input_ids=ids, use_cache=False).logits
    return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())


def _counts(loads: dict[int, Any], number: int) -> Any:
    def hook(module: Any, _given: Any, out: Any) -> None:
        loads[number] = torch.bincount(out[2].flatten(), minlength=module.num_experts).float()

    return hook
