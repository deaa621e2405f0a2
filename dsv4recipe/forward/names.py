"""Floor 4, forward. Maps source tensors to parameters of transformers' `deepseek_v4` classes. This module is pure.

Parameter names are those of transformers 5.23; a test compares this table with the library's own conversion mapping.
"""

from __future__ import annotations

from dsv4recipe.checkpoint.family import Slot

_LAYER = {
    "attn.attn_sink": "self_attn.sinks",
    "attn.q_norm.weight": "self_attn.q_a_norm.weight",
    "attn.kv_norm.weight": "self_attn.kv_norm.weight",
    "attn.wq_a.weight": "self_attn.q_a_proj.weight",
    "attn.wq_b.weight": "self_attn.q_b_proj.weight",
    "attn.wkv.weight": "self_attn.kv_proj.weight",
    "attn.wo_a.weight": "self_attn.o_a_proj.weight",
    "attn.wo_b.weight": "self_attn.o_b_proj.weight",
    "attn.compressor.ape": "self_attn.compressor.position_bias",
    "attn.compressor.norm.weight": "self_attn.compressor.kv_norm.weight",
    "attn.compressor.wgate.weight": "self_attn.compressor.gate_proj.weight",
    "attn.compressor.wkv.weight": "self_attn.compressor.kv_proj.weight",
    "attn.indexer.compressor.ape": "self_attn.compressor.indexer.position_bias",
    "attn.indexer.compressor.norm.weight": "self_attn.compressor.indexer.kv_norm.weight",
    "attn.indexer.compressor.wgate.weight": "self_attn.compressor.indexer.gate_proj.weight",
    "attn.indexer.compressor.wkv.weight": "self_attn.compressor.indexer.kv_proj.weight",
    "attn.indexer.weights_proj.weight": "self_attn.compressor.indexer.scorer.weights_proj.weight",
    "attn.indexer.wq_b.weight": "self_attn.compressor.indexer.q_b_proj.weight",
    "attn_norm.weight": "input_layernorm.weight",
    "ffn_norm.weight": "post_attention_layernorm.weight",
    "ffn.gate.weight": "mlp.gate.weight",
    "ffn.gate.bias": "mlp.gate.e_score_correction_bias",
    "ffn.gate.tid2eid": "mlp.gate.tid2eid",
    "ffn.shared_experts.w1.weight": "mlp.shared_experts.gate_proj.weight",
    "ffn.shared_experts.w2.weight": "mlp.shared_experts.down_proj.weight",
    "ffn.shared_experts.w3.weight": "mlp.shared_experts.up_proj.weight",
    "hc_attn_base": "attn_hc.base",
    "hc_attn_fn": "attn_hc.fn",
    "hc_attn_scale": "attn_hc.scale",
    "hc_ffn_base": "ffn_hc.base",
    "hc_ffn_fn": "ffn_hc.fn",
    "hc_ffn_scale": "ffn_hc.scale",
}

_GLOBAL = {
    "embed.weight": "model.embed_tokens.weight",
    "head.weight": "lm_head.weight",
    "norm.weight": "model.norm.weight",
    "hc_head_base": "model.hc_head.hc_base",
    "hc_head_fn": "model.hc_head.hc_fn",
    "hc_head_scale": "model.hc_head.hc_scale",
}


def in_layer(slot: Slot) -> str:
    """Returns the parameter or buffer of a decoder layer that a source tensor is, without the layer's own name. Returns
    "" for routed experts, whose projections are stacked there (`expert_rows`) and streamed here."""
    return _LAYER.get(slot.row.pattern.removeprefix("layers.{N}."), "")


def in_model(slot: Slot) -> str:
    """Returns the parameter of DeepseekV4ForCausalLM for a source tensor outside the layers, or "" for any other."""
    return _GLOBAL.get(slot.row.pattern, "") if slot.layer is None else ""


def parameter(slot: Slot) -> str:
    """Returns the full name within DeepseekV4ForCausalLM, including routed experts, or "" for MTP stages and unknown
    tensors."""
    if slot.block != "main":
        return ""
    if slot.layer is None:
        return in_model(slot)
    if slot.row.role == "routed-expert":
        leaf = "down_proj" if slot.row.projection == "down" else "gate_up_proj"
        return f"model.layers.{slot.layer}.mlp.experts.{leaf}"
    inner = in_layer(slot)
    return f"model.layers.{slot.layer}.{inner}" if inner else ""
