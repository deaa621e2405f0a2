"""Floor 4, forward. Runs all tokens through one decoder layer after the other, from text to the states before the head.

A layer runs in three parts: attention of all batches, then the routed experts one by one over all tokens, then the sum.
So only one layer without its experts, and few experts, are in memory at a time. The arithmetic is that of
transformers' `DeepseekV4DecoderLayer`; the tests compare the two.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsv4recipe.checkpoint.graph import Checkpoint, Group
from dsv4recipe.forward.experts import run_experts
from dsv4recipe.forward.names import in_layer
from dsv4recipe.forward.reference import Reference
from dsv4recipe.forward.sequences import Batch, batches
from dsv4recipe.forward.states import Kept, Room
from dsv4recipe.forward.taps import Tap
from dsv4recipe.forward.weights import Weights

Floats = NDArray[np.float32]
Told = Callable[[int, int], None]
"""Receives (layers done, all layers)."""


@dataclass(frozen=True)
class Settings:
    """How a pass runs. None of these changes a result by more than rounding. `batch` is the most tokens that go through
    attention together, `states` the bytes of states held in RAM, and `scratch` the folder for the rest."""

    device: str = "cpu"
    batch: int = 2048
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    states: int = 4 << 30
    scratch: Path | None = None


@dataclass(frozen=True)
class Final:
    """The end of a pass: the input of the head for every token, float32 [tokens, hidden], and the head's matrix."""

    reference: Reference
    hidden: Floats
    head: Any

    def logits(self, first: int, last: int) -> Any:
        """Returns a torch float32 [last - first, vocab] of tokens [first, last)."""
        with self.reference.torch.no_grad():
            rows = self.reference.tensor(self.hidden[first:last])
            return self.reference.torch.nn.functional.linear(rows, self.head)


class Pass:
    """A forward pass over the same sequences, with any weights. States are float32 [tokens, streams, hidden]."""

    def __init__(self, checkpoint: Checkpoint, sequences: Sequence[NDArray[Any]], settings: Settings | None = None):
        self.settings = settings or Settings()
        self.reference = Reference(checkpoint, self.settings.device)
        self.torch = self.reference.torch
        self.batches = batches(sequences, self.settings.batch)
        self.tokens = sum(batch.ids.size for batch in self.batches)
        self.layers = checkpoint.dims.layers
        self.room = Room(self.settings.states, self.settings.scratch)
        self.unreached: dict[int, int] = {}

    @property
    def shape(self) -> tuple[int, int, int]:
        dims = self.reference.checkpoint.dims
        return self.tokens, dims.hc, dims.hidden

    def begin(self, weights: Weights, name: str = "states") -> Floats:
        """Returns the states before layer 0: every stream is the token's embedding."""
        states = self.room.array(name, self.shape)
        embedding = self.reference.group("embed.weight")
        for batch in self.batches:
            rows = weights.rows(embedding, batch.ids.ravel())
            states[batch.first : batch.last] = rows[:, None, :]
        return states

    def step(self, number: int, states: Floats, weights: Weights, tap: Tap | None = None) -> None:
        """Runs all tokens through layer `number`, in place."""
        tap = tap or Tap()
        dims = self.reference.checkpoint.dims
        inputs = self.room.array("inputs", (self.tokens, dims.hidden))
        post = self.room.array("post", (self.tokens, dims.hc))
        comb = self.room.array("comb", (self.tokens, dims.hc, dims.hc))
        ids = np.empty((self.tokens, dims.topk), np.int64)
        routing = np.empty((self.tokens, dims.topk), np.float32)
        with self.torch.no_grad():
            layer = self.reference.layer(number, weights)
            at = _Place()
            hooks = self._listen(layer, number, tap, at)
            for batch in self.batches:
                at.first, place = batch.first, slice(batch.first, batch.last)
                streams = self._attention(layer, batch, states)
                p, c, folded = layer.ffn_hc(streams)
                normed = layer.post_attention_layernorm(folded)
                routed = (self._ids(batch),) if layer.mlp.is_hash else ()
                _, scale, chosen = layer.mlp.gate(normed, *routed)
                states[place] = _array(streams).reshape(states[place].shape)
                inputs[place] = _array(normed).reshape(-1, dims.hidden)
                post[place], comb[place] = _array(p).reshape(-1, dims.hc), _array(c).reshape(-1, dims.hc, dims.hc)
                ids[place], routing[place] = _array(chosen), _array(scale)
            tap.experts(number, inputs, ids, routing)
            out = self.room.array("outputs", (self.tokens, dims.hidden))
            out[...] = 0
            self.unreached[number] = run_experts(
                self.reference, number, weights, inputs, ids, routing, out, tap, self.settings.workers
            )
            for batch in self.batches:
                at.first = batch.first
                self._finish(layer, batch, states, inputs, out, post, comb)
            for hook in hooks:
                hook.remove()
        tap.layer(number)

    def end(self, states: Floats, weights: Weights, tap: Tap | None = None, name: str = "final") -> Final:
        """Folds the streams and applies the last norm, then the head if `tap` asks for its inputs or for logits."""
        tap = tap or Tap()
        reference, dims = self.reference, self.reference.checkpoint.dims
        hidden = self.room.array(name, (self.tokens, dims.hidden))
        head = reference.group("head.weight")
        with self.torch.no_grad():
            mix = reference.head_mix(weights)
            for batch in self.batches:
                place = slice(batch.first, batch.last)
                folded = mix(reference.tensor(states[place].reshape(*batch.shape, dims.hc, dims.hidden)))
                hidden[place] = _array(folded).reshape(-1, dims.hidden)
                if tap.wants(head):
                    tap.linear(head, batch.first, hidden[place])
            final = Final(reference, hidden, reference.globals(weights, "head.weight")["head.weight"])
            if tap.wants_logits():
                for first in range(0, self.tokens, 512):
                    tap.logits(first, _array(final.logits(first, min(first + 512, self.tokens))))
        return final

    def _attention(self, layer: Any, batch: Batch, states: Floats) -> Any:
        """Returns the attention half of the layer for a batch: the streams after it."""
        reference, dims = self.reference, self.reference.checkpoint.dims
        streams = reference.tensor(states[batch.first : batch.last].reshape(*batch.shape, dims.hc, dims.hidden))
        positions = self.torch.arange(batch.shape[1], device=reference.device)[None]
        mask = reference.mask(streams[:, :, 0], positions)
        turns = {
            kind: reference.rotary(streams[:, :, 0], position_ids=positions, layer_type=kind)
            for kind in ("main", "compress")
        }
        post, comb, folded = layer.attn_hc(streams)
        out, _ = layer.self_attn(
            layer.input_layernorm(folded), position_embeddings=turns, position_ids=positions, attention_mask=mask
        )
        return _mixed(self.torch, post, comb, out, streams)

    def _finish(
        self, layer: Any, batch: Batch, states: Floats, inputs: Floats, out: Floats, post: Floats, comb: Floats
    ) -> None:
        """Adds routed and shared experts, and spreads the sum over the streams."""
        reference, shape, place = self.reference, batch.shape, slice(batch.first, batch.last)
        given = [reference.tensor(each[place].reshape(*shape, *each.shape[1:])) for each in (inputs, out, post, comb)]
        shared = layer.mlp.shared_experts(given[0])
        streams = reference.tensor(states[place].reshape(*shape, *states.shape[1:]))
        mixed = _mixed(self.torch, given[2], given[3], given[1] + shared, streams)
        states[place] = _array(mixed).reshape(states[place].shape)

    def _ids(self, batch: Batch) -> Any:
        return self.torch.from_numpy(batch.ids).to(self.reference.device)

    def _listen(self, layer: Any, number: int, tap: Tap, at: _Place) -> list[Any]:
        hooks = []
        for group in self.reference.groups[number]:
            name = in_layer(group.slot).removesuffix(".weight")
            if name and len(group.source.shape) == 2 and group.slot.row.projection and tap.wants(group):
                hooks.append(layer.get_submodule(name).register_forward_pre_hook(_hook(tap, group, at)))
        return hooks


@dataclass
class _Place:
    """The first token of the batch that runs."""

    first: int = 0


def _hook(tap: Tap, group: Group, at: _Place) -> Any:
    grouped = 3 if group.slot.row.projection == "wo_a" else 2

    def seen(_module: Any, given: tuple[Any, ...]) -> None:
        inputs = _array(given[0])
        tap.linear(group, at.first, inputs.reshape(-1, *inputs.shape[1 - grouped :]))

    return seen


def _mixed(torch: Any, post: Any, comb: Any, out: Any, streams: Any) -> Any:
    """Returns the output of a block spread over the streams, and the streams mixed among themselves."""
    return post.unsqueeze(-1) * out.unsqueeze(-2) + torch.matmul(comb.transpose(-1, -2), streams)


def _array(tensor: Any) -> NDArray[Any]:
    found: NDArray[Any] = tensor.detach().cpu().numpy()
    return found


def forward(
    checkpoint: Checkpoint,
    weights: Weights,
    sequences: Sequence[NDArray[Any]],
    tap: Tap | None = None,
    settings: Settings | None = None,
    kept: Kept | None = None,
    told: Told = lambda done, total: None,
) -> Final:
    """Runs all sequences (1-D arrays of token ids) through a model; `tap` observes it.

    With `kept`, states are saved between layers, and a run with the same identity continues after the last saved one.
    `tap` is then not called for earlier layers (`kept.layer` says which comes next). At the end the states are removed.
    Raises RecipeError M001 to M004, M010 to M012, and what `weights` raise.
    """
    run = Pass(checkpoint, sequences, settings)
    try:
        return advance(run, weights, tap, kept, told)
    finally:
        run.room.close()


def advance(run: Pass, weights: Weights, tap: Tap | None, kept: Kept | None, told: Told, name: str = "states") -> Final:
    """Does the same as `forward` for an existing pass. `name` is that of its states in the pass's room."""
    first = kept.load(run.room.array(name, run.shape)) if kept is not None else 0
    states = run.room.array(name, run.shape) if first else run.begin(weights, name)
    run.unreached = kept.unreached if kept is not None and first else {}
    for number in range(first, run.layers):
        told(number, run.layers)
        run.step(number, states, weights, tap)
        if kept is not None:
            kept.save(number + 1, states, run.unreached, last=number + 1 == run.layers)
    told(run.layers, run.layers)
    final = run.end(states, weights, tap, f"{name} final")
    if kept is not None and not kept.hold:
        kept.clear()
    return final
