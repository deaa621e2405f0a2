"""Floor 2, targets. What GGUF files call the tensors of a DeepSeek-V4; ds4 and llama.cpp agree on it. Pure data.

Source: fact sheet ds4_gguf.md sections 2 and 2.1. w1 is gate, w3 up, w2 down; `indexer.` has a dot where
`indexer_compressor_` has none.
"""

from __future__ import annotations

from dsv4recipe.checkpoint.family import Slot
from dsv4recipe.targets.names import NameMap

_EXPERTS = {"w1": "gate", "w2": "down", "w3": "up"}

NAMES = NameMap(
    root="",
    globals_={
        "embed": "token_embd",
        "head": "output",
        "norm": "output_norm",
        **{f"hc_head_{part}": f"output_hc_{part}" for part in ("fn", "base", "scale")},
    },
    layer={
        "attn.wq_a": "attn_q_a",
        "attn.q_norm": "attn_q_a_norm",
        "attn.wq_b": "attn_q_b",
        "attn.wkv": "attn_kv",
        "attn.kv_norm": "attn_kv_a_norm",
        "attn.attn_sink": "attn_sinks",
        "attn.wo_a": "attn_output_a",
        "attn.wo_b": "attn_output_b",
        "attn.compressor.ape": "attn_compressor_ape",
        "attn.compressor.wkv": "attn_compressor_kv",
        "attn.compressor.wgate": "attn_compressor_gate",
        "attn.compressor.norm": "attn_compressor_norm",
        "attn.indexer.wq_b": "indexer.attn_q_b",
        "attn.indexer.weights_proj": "indexer.proj",
        "attn.indexer.compressor.ape": "indexer_compressor_ape",
        "attn.indexer.compressor.wkv": "indexer_compressor_kv",
        "attn.indexer.compressor.wgate": "indexer_compressor_gate",
        "attn.indexer.compressor.norm": "indexer_compressor_norm",
        "ffn.gate": "ffn_gate_inp",
        "ffn.gate.bias": "exp_probs_b",
        "ffn.gate.tid2eid": "ffn_gate_tid2eid",
        **{f"ffn.experts.{{E}}.{w}": f"ffn_{name}_exps" for w, name in _EXPERTS.items()},
        **{f"ffn.shared_experts.{w}": f"ffn_{name}_shexp" for w, name in _EXPERTS.items()},
    },
    block="blk",
)


def disk_stem(slot: Slot, experts: str) -> str:  # noqa: ARG001 - experts are always stacked
    """The tensor's name without its last word."""
    return NAMES.inner(slot.stem)


def suffix(slot: Slot) -> str:
    """The last word: everything is a weight but the router's bias."""
    return ".bias" if slot.row.role == "router-bias" else ".weight"
