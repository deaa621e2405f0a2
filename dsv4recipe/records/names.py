"""Floor 1, records. Says which recorded inputs a source tensor multiplies. This module is pure.

Matrices that share their inputs share one entry of a layer's file, such as all that read the attention block's input.
"""

from __future__ import annotations

from dataclasses import dataclass

EXPERTS = "experts"
DOWN = "experts.down"
_SHARED = {
    "ffn.gate": EXPERTS,
    "ffn.shared_experts.w1": EXPERTS,
    "ffn.shared_experts.w3": EXPERTS,
    "ffn.shared_experts.w2": "shared.down",
    "attn.wq_a": "attn",
    "attn.wkv": "attn",
    "attn.compressor.wkv": "attn",
    "attn.compressor.wgate": "attn",
    "attn.indexer.compressor.wkv": "attn",
    "attn.indexer.compressor.wgate": "attn",
    "attn.indexer.weights_proj": "attn",
    "attn.wq_b": "attn.q",
    "attn.indexer.wq_b": "attn.q",
    "attn.wo_b": "attn.out",
}
"""Matrices of a layer → their entry. `attn.wo_a` has none, because it multiplies parts of a token by its own parts."""

ENTRIES = (EXPERTS, "shared.down", "attn", "attn.q", "attn.out", "head")
"""Every entry that `--modules` may name; `experts.down` is included in `experts`."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """Where the inputs of a matrix are: its layer (None outside of layers), the entry, and the routed expert."""

    layer: int | None
    entry: str
    expert: int | None


def inputs_of(tensor: str) -> Inputs | None:
    """Returns, for "layers.3.ffn.experts.17.w2.weight", layer 3, "experts.down", expert 17. None if no record holds
    it."""
    name = tensor.removesuffix(".weight")
    if name == "head":
        return Inputs(None, "head", None)
    head, _, rest = name.partition(".")
    number, _, path = rest.partition(".")
    if head != "layers" or not number.isdecimal():
        return None
    parts = path.split(".")
    if parts[:2] == ["ffn", "experts"] and len(parts) == 4 and parts[2].isdecimal():
        return Inputs(int(number), DOWN if parts[3] == "w2" else EXPERTS, int(parts[2]))
    entry = _SHARED.get(path)
    return Inputs(int(number), entry, None) if entry else None
