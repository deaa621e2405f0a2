"""Floor 4, forward. Fills transformers' `deepseek_v4` classes with a model's numbers, one decoder layer at a time.

A layer is created without memory for its weights and then given them one by one; names and shapes are checked. Its
routed experts are never filled, because `experts` streams them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import numpy as np

from dsv4recipe.checkpoint.graph import Checkpoint, Group
from dsv4recipe.errors import NotInstalledError, RecipeError, Where
from dsv4recipe.forward.names import in_layer, parameter
from dsv4recipe.forward.weights import Weights

_NOT_FOR_THE_CLASS = ("torch_dtype", "dtype", "expert_dtype", "quantization_config")
HINT = "run pip install 'dsv4recipe[measure]' (torch and transformers; a CPU build of torch is enough)"


class Library:
    """torch and the model's module of transformers. Raises RecipeError M001 if either is missing."""

    def __init__(self) -> None:
        try:
            self.torch: Any = import_module("torch")
            self.classes: Any = import_module("transformers.models.deepseek_v4.modeling_deepseek_v4")
            self.configs: Any = import_module("transformers.models.deepseek_v4.configuration_deepseek_v4")
            self.versions = {name: str(import_module(name).__version__) for name in ("torch", "transformers")}
        except ImportError as error:
            message = f"measuring needs torch and transformers with deepseek_v4: {error}"
            raise NotInstalledError("M001", message, hint=HINT) from None


class Reference:
    """The reference implementation for one checkpoint, on one device ("cpu", "cuda", "mps")."""

    def __init__(self, checkpoint: Checkpoint, device: str = "cpu") -> None:
        if checkpoint.family.name != "deepseek_v4":
            message = f"the reference implementation has no forward pass for {checkpoint.family.name}"
            raise RecipeError("M002", message, Where(checkpoint.folder.place), "measure a DeepSeek-V4 checkpoint")
        self.checkpoint = checkpoint
        self.library = Library()
        self.torch = self.library.torch
        self.device = self._device(device)
        kept = {key: value for key, value in checkpoint.config.items() if key not in _NOT_FOR_THE_CLASS}
        self.config = self.library.configs.DeepseekV4Config(**kept)
        self.config._attn_implementation = "eager"
        self.rotary = self.library.classes.DeepseekV4RotaryEmbedding(self.config).to(self.device)
        self.groups: dict[int | None, list[Group]] = {}
        for group in checkpoint.groups:
            if group.slot.block == "main":
                self.groups.setdefault(group.slot.layer, []).append(group)
        self._check_names()

    def layer(self, number: int, weights: Weights) -> Any:
        """Returns decoder layer `number` with everything except its routed experts."""
        with self.torch.device("meta"):
            layer = self.library.classes.DeepseekV4DecoderLayer(self.config, number)
        for module in layer.modules():
            if hasattr(module, "rotary_emb"):
                module.rotary_emb = self.rotary
        found = {in_layer(group.slot): weights.tensor(group) for group in self.groups[number] if in_layer(group.slot)}
        self._fill(layer, found, streamed="mlp.experts.")
        return layer.eval()

    def globals(self, weights: Weights, *names: str) -> Mapping[str, Any]:
        """Returns source name → tensor on the device, for tensors outside the layers ("norm.weight", "hc_head_fn")."""
        by_name = {group.names: group for group in self.groups[None]}
        return {name: self.tensor(weights.tensor(by_name[name])) for name in names}

    def head_mix(self, weights: Weights) -> Any:
        """Returns one function of hidden states that folds the residual streams into one and applies the last norm."""
        with self.torch.device("meta"):
            mix = self.library.classes.DeepseekV4HyperHead(self.config)
            norm = self.library.classes.DeepseekV4RMSNorm(self.config.hidden_size, eps=self.config.rms_norm_eps)
        by_name = {group.names: group for group in self.groups[None]}
        names = {"hc_fn": "hc_head_fn", "hc_base": "hc_head_base", "hc_scale": "hc_head_scale"}
        self._fill(mix, {ours: weights.tensor(by_name[theirs]) for ours, theirs in names.items()})
        self._fill(norm, {"weight": weights.tensor(by_name["norm.weight"])})
        return lambda hidden: norm(mix(hidden))

    def group(self, name: str) -> Group:
        """Returns the group outside the layers of that source name."""
        return next(group for group in self.groups[None] if group.names == name)

    def experts(self, number: int) -> dict[str, Group]:
        """Returns the routed experts' groups of a layer by projection: gate, up, down."""
        return {g.slot.row.projection: g for g in self.groups[number] if g.slot.row.role == "routed-expert"}

    def tensor(self, array: Any) -> Any:
        """Returns a numpy array on the device. Read-only memory is copied, because torch might write to it."""
        writable = array if array.flags.writeable and array.flags.c_contiguous else np.array(array, order="C")
        return self.torch.from_numpy(writable).to(self.device)

    def mask(self, streams: Any, positions: Any) -> Any:
        """Returns the causal mask of a sliding window, as the whole model makes it."""
        return self.library.classes.create_sliding_window_causal_mask(
            config=self.config,
            inputs_embeds=streams,
            attention_mask=None,
            past_key_values=None,
            position_ids=positions,
        )

    def _device(self, name: str) -> Any:
        torch = self.torch
        there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        if not there.get(name.partition(":")[0]):
            has = ", ".join(known for known, yes in there.items() if yes)
            raise RecipeError("M003", f"torch has no device {name!r} here", hint=f"it has: {has}")
        return torch.device(name)

    def _fill(self, module: Any, found: Mapping[str, Any], streamed: str = "") -> None:
        """Fills a module with its tensors. `found` must hold exactly the module's tensors, with their shapes."""
        wanted = {name: value for name, value in _stored(module) if not (streamed and name.startswith(streamed))}
        if set(wanted) != set(found):
            odd = ", ".join(sorted(set(wanted) ^ set(found)))
            raise RecipeError("M004", f"the checkpoint and transformers' class disagree about tensors: {odd}",
                              hint=HINT)  # fmt: skip
        for name, array in found.items():
            if tuple(wanted[name].shape) != array.shape:
                message = (
                    f"{name} has shape {list(array.shape)}, but transformers' class needs {list(wanted[name].shape)}"
                )
                raise RecipeError("M004", message, hint=HINT)
            path, _, leaf = name.rpartition(".")
            owner = module.get_submodule(path)
            value = self.tensor(array)
            if leaf in owner._parameters:
                owner._parameters[leaf] = self.torch.nn.Parameter(value, requires_grad=False)
            else:
                owner._buffers[leaf] = value

    def _check_names(self) -> None:
        unknown = [g.names for groups in self.groups.values() for g in groups if not parameter(g.slot)]
        if unknown:
            message = f"no parameter of transformers' class is known for {unknown[0]}"
            raise RecipeError("M004", message, Where(self.checkpoint.folder.place))


def _stored(module: Any) -> Iterator[tuple[str, Any]]:
    """Yields the parameters of a module and the buffers that a checkpoint holds."""
    yield from module.named_parameters()
    for name, value in module.named_buffers():
        if ".rotary_emb." not in f".{name}":
            yield name, value
