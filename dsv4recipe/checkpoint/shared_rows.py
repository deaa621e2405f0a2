"""Floor 1, checkpoint. Holds the rows of tensor patterns that V4 and V4.1 share, and the blocks they stand in. This
module is pure.

See docs/reference/checkpoint.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from dsv4recipe.checkpoint.dims import Dims, Vision
from dsv4recipe.checkpoint.family import Condition, Row

Rows = tuple[Row, ...]


def first_stage(d: Dims, layer: int) -> bool:
    return layer == d.layers


def last_stage(d: Dims, layer: int) -> bool:
    return layer == d.layers + d.stages - 1


def has_vision(d: Dims, layer: int) -> bool:  # noqa: ARG001 - one signature for all conditions
    return d.vision is not None


def on(condition: Condition, rows: Iterable[Row]) -> Rows:
    """Returns the rows, each limited to the layers where its own condition and this one hold."""

    def both(own: Condition) -> Condition:
        return lambda d, n: condition(d, n) and own(d, n)

    return tuple(replace(row, on=both(row.on)) for row in rows)


def in_layers_and_stages(rows: Iterable[Row]) -> Rows:
    """Returns the rows in every main layer, and in every MTP stage."""
    block = tuple(rows)
    return (*(replace(row, pattern=f"layers.{{N}}.{row.pattern}") for row in block), *in_stages(block))


def in_stages(rows: Iterable[Row]) -> Rows:
    """Returns the rows in every MTP stage."""
    return tuple(replace(row, pattern=f"mtp.{{N}}.{row.pattern}", block="mtp") for row in rows)


def _experts(d: Dims, layer: int) -> int:
    return d.experts if layer < d.layers else d.mtp_experts


ATTENTION = (
    Row("attn.attn_sink", "f32", lambda d, n: (d.heads,), "attention-sink"),
    Row("attn.q_norm.weight", "bf16", lambda d, n: (d.q_lora,), "norm"),
    Row("attn.kv_norm.weight", "bf16", lambda d, n: (d.head_dim,), "norm"),
    Row("attn.wq_a.weight", "fp8", lambda d, n: (d.q_lora, d.hidden), "attention", "wq_a"),
    Row("attn.wq_b.weight", "fp8", lambda d, n: (d.heads * d.head_dim, d.q_lora), "attention", "wq_b"),
    Row("attn.wkv.weight", "fp8", lambda d, n: (d.head_dim, d.hidden), "attention", "wkv"),
    Row(
        "attn.wo_a.weight",
        "fp8",
        lambda d, n: (d.o_groups * d.o_lora, d.heads * d.head_dim // d.o_groups),
        "attention",
        "wo_a",
    ),
    Row("attn.wo_b.weight", "fp8", lambda d, n: (d.hidden, d.o_groups * d.o_lora), "attention", "wo_b"),
)

INDEX_QUERIES = (
    Row("attn.indexer.weights_proj.weight", "bf16", lambda d, n: (d.index_heads, d.hidden), "indexer", "weights_proj"),
    Row("attn.indexer.wq_b.weight", "fp8", lambda d, n: (d.index_heads * d.index_dim, d.q_lora), "indexer", "wq_b"),
)

ROUTER = (
    Row("attn_norm.weight", "bf16", lambda d, n: (d.hidden,), "norm"),
    Row("ffn.gate.weight", "bf16", lambda d, n: (_experts(d, n), d.hidden), "router"),
)

ROUTER_BIAS = (Row("ffn.gate.bias", "f32", lambda d, n: (_experts(d, n),), "router-bias"),)

ROUTER_BIAS_OF_IMAGES = on(has_vision, (Row("ffn.gate.bias_vl", "f32", lambda d, n: (_experts(d, n),), "router-bias"),))

EXPERTS = (
    Row("ffn.experts.{E}.w1.weight", "fp4", lambda d, n: (d.inter, d.hidden), "routed-expert", "gate"),
    Row("ffn.experts.{E}.w2.weight", "fp4", lambda d, n: (d.hidden, d.inter), "routed-expert", "down"),
    Row("ffn.experts.{E}.w3.weight", "fp4", lambda d, n: (d.inter, d.hidden), "routed-expert", "up"),
    Row("ffn.shared_experts.w1.weight", "fp8", lambda d, n: (d.shared, d.hidden), "shared-expert", "gate"),
    Row("ffn.shared_experts.w2.weight", "fp8", lambda d, n: (d.hidden, d.shared), "shared-expert", "down"),
    Row("ffn.shared_experts.w3.weight", "fp8", lambda d, n: (d.shared, d.hidden), "shared-expert", "up"),
    Row("ffn_norm.weight", "bf16", lambda d, n: (d.hidden,), "norm"),
)

HYPER_CONNECTIONS = (
    Row("hc_attn_base", "f32", lambda d, n: (d.mix,), "hyper-connection"),
    Row("hc_attn_fn", "f32", lambda d, n: (d.mix, d.hc * d.hidden), "hyper-connection"),
    Row("hc_attn_scale", "f32", lambda d, n: (3,), "hyper-connection"),
    Row("hc_ffn_base", "f32", lambda d, n: (d.mix,), "hyper-connection"),
    Row("hc_ffn_fn", "f32", lambda d, n: (d.mix, d.hc * d.hidden), "hyper-connection"),
    Row("hc_ffn_scale", "f32", lambda d, n: (3,), "hyper-connection"),
)

NORM = Row("norm.weight", "bf16", lambda d, n: (d.hidden,), "norm")
"""The norm before the head. The stage that produces tokens has its own."""

GLOBALS = (
    Row("embed.weight", "bf16", lambda d, n: (d.vocab, d.hidden), "embedding"),
    Row("head.weight", "bf16", lambda d, n: (d.vocab, d.hidden), "lm-head"),
    NORM,
)


def dspark(embed: str, head: str) -> Rows:
    """Returns the rows that a DSpark drafter has beside its blocks. `embed` and `head` are the family's names for the
    Markov head's two matrices [V, R]. The first stage reads the main model's states, the last one produces tokens."""
    first = (
        Row("main_proj.weight", "fp8", lambda d, n: (d.hidden, d.targets * d.hidden), "mtp-projection", "main_proj"),
        Row("main_norm.weight", "bf16", lambda d, n: (d.hidden,), "norm"),
    )
    last = (
        Row(f"markov_head.{embed}.weight", "bf16", lambda d, n: (d.vocab, d.markov_rank), "markov-head", "markov_w1"),
        Row(f"markov_head.{head}.weight", "bf16", lambda d, n: (d.vocab, d.markov_rank), "markov-head", "markov_w2"),
        Row("confidence_head.proj.weight", "bf16", lambda d, n: (1, d.hidden + d.markov_rank), "confidence-head"),
    )
    return on(lambda d, n: d.dspark, (*on(first_stage, first), *on(last_stage, last)))


def _tower(d: Dims) -> Vision:
    assert d.vision is not None  # the rows below exist only where `has_vision` holds
    return d.vision


_TOWER_BLOCK = (
    Row("attn.wqkv.weight", "bf16", lambda d, n: (3 * _tower(d).hidden, _tower(d).hidden), "vision"),
    Row("attn.wqkv.bias", "bf16", lambda d, n: (3 * _tower(d).hidden,), "bias"),
    Row("attn.wo.weight", "bf16", lambda d, n: (_tower(d).hidden, _tower(d).hidden), "vision"),
    Row("attn.wo.bias", "bf16", lambda d, n: (_tower(d).hidden,), "bias"),
    Row("mlp.w1.weight", "bf16", lambda d, n: (2 * _tower(d).inter, _tower(d).hidden), "vision"),
    Row("mlp.w2.weight", "bf16", lambda d, n: (_tower(d).hidden, _tower(d).inter), "vision"),
    Row("norm1.weight", "bf16", lambda d, n: (_tower(d).hidden,), "norm"),
    Row("norm2.weight", "bf16", lambda d, n: (_tower(d).hidden,), "norm"),
)

_TOWER = (
    Row("vision.patch_embed.proj.weight", "bf16", lambda d, n: (_tower(d).hidden, 3 * _tower(d).patch ** 2), "vision"),
    Row("vision.patch_embed.proj.bias", "bf16", lambda d, n: (_tower(d).hidden,), "bias"),
    Row("vision.norm.weight", "bf16", lambda d, n: (_tower(d).hidden,), "norm"),
    *(replace(row, pattern=f"vision.blocks.{{N}}.{row.pattern}") for row in _TOWER_BLOCK),
    Row("aligner.w1.weight", "bf16", lambda d, n: (d.hidden, _tower(d).hidden * _tower(d).downsample ** 2), "aligner"),
    Row("aligner.w1.bias", "bf16", lambda d, n: (d.hidden,), "bias"),
    Row("aligner.w2.weight", "bf16", lambda d, n: (d.hidden, d.hidden), "aligner"),
    Row("aligner.w2.bias", "bf16", lambda d, n: (d.hidden,), "bias"),
    Row("image_start", "bf16", lambda d, n: (d.hidden,), "image-token"),
    Row("image_end", "bf16", lambda d, n: (d.hidden,), "image-token"),
    Row("image_newline", "bf16", lambda d, n: (d.hidden,), "image-token"),
)

VISION = tuple(replace(row, block="vision") for row in on(has_vision, _TOWER))
"""The rows of the vision tower, the aligner and the three learned markers of an image's span."""
