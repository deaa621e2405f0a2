"""Floor 1, checkpoint. The DeepSeek-V4 family (V4-Flash, V4-Pro; classic MTP) as a table.

Source: fact sheet checkpoint.md sections 2, 4 and 6. Pure.
"""

from __future__ import annotations

from typing import Any

from dsv4recipe.checkpoint.family import ConfigReader, Dims, Family, Row
from dsv4recipe.errors import Problems, Where


def dims_of(config: dict[str, Any], file: str) -> Dims:
    """The dimensions of a V4 config.json. Raises RecipeError C010 naming every missing or absurd key."""
    problems = Problems()
    read = ConfigReader(config, file, problems)
    layers = read.number("num_hidden_layers", high=1024)
    ratios = read.numbers("compress_ratios", allowed=(0, 4, 128))
    stages = len(ratios) - layers
    if ratios and not 0 <= stages <= 64:
        problems.error(
            "C010",
            f"config.json: compress_ratios has {len(ratios)} entries for {layers} layers; one per layer and one per "
            "MTP stage are needed",
            Where(file, subject="compress_ratios"),
        )
    inter = read.number("moe_intermediate_size")
    dims = Dims(
        hidden=read.number("hidden_size"),
        vocab=read.number("vocab_size"),
        heads=read.number("num_attention_heads", high=4096),
        head_dim=read.number("head_dim", high=65536),
        q_lora=read.number("q_lora_rank"),
        o_groups=read.number("o_groups", high=4096),
        o_lora=read.number("o_lora_rank"),
        inter=inter,
        shared=inter * read.number("n_shared_experts", high=64),
        experts=read.number("n_routed_experts", high=65536),
        topk=read.number("num_experts_per_tok", high=4096),
        hc=read.number("hc_mult", high=64),
        index_heads=read.number("index_n_heads", high=4096),
        index_dim=read.number("index_head_dim", high=65536),
        layers=layers,
        stages=max(0, stages),
        hash_layers=read.number("num_hash_layers", low=0, high=1024, default=0),
        ratios=ratios,
        tile=(128, 128),
    )
    if dims.heads * dims.head_dim % dims.o_groups:
        message = "config.json: o_groups does not divide num_attention_heads × head_dim"
        problems.error("C010", message, Where(file, subject="o_groups"))
    problems.raise_if_any()
    return dims


def layer_sets(dims: Dims) -> dict[str, frozenset[int]]:
    """The named layer sets of a config, main layers only. `mlx-lm-more-bits` is the rule of mlx-lm's mixed recipes:
    i < n//8, i ≥ 7n//8 or (i − n//8) mod 3 = 2 (fact sheets checkpoint.md 4 and mlx.md 1.5)."""
    layers = range(dims.layers)
    eighth = dims.layers // 8
    return {
        "hash": frozenset(n for n in layers if n < dims.hash_layers),
        "dense-context": frozenset(n for n in layers if dims.ratio(n) == 0),
        "compress-ratio-4": frozenset(n for n in layers if dims.ratio(n) == 4),
        "compress-ratio-128": frozenset(n for n in layers if dims.ratio(n) == 128),
        "mlx-lm-more-bits": frozenset(
            n for n in layers if n < eighth or n >= 7 * dims.layers // 8 or (n - eighth) % 3 == 2
        ),
    }


def _compressed(d: Dims, layer: int) -> bool:
    return d.ratio(layer) != 0


def _indexed(d: Dims, layer: int) -> bool:
    return d.ratio(layer) == 4


def _hashed(d: Dims, layer: int) -> bool:
    return layer < d.hash_layers


def _not_hashed(d: Dims, layer: int) -> bool:
    return not _hashed(d, layer)


_ATTENTION = (
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

_COMPRESSOR = (
    Row("attn.compressor.ape", "f32", lambda d, n: (d.ratio(n), d.width(n, d.head_dim)), "position-bias"),
    Row("attn.compressor.norm.weight", "bf16", lambda d, n: (d.head_dim,), "norm"),
    Row("attn.compressor.wgate.weight", "bf16", lambda d, n: (d.width(n, d.head_dim), d.hidden), "compressor", "wgate"),
    Row("attn.compressor.wkv.weight", "bf16", lambda d, n: (d.width(n, d.head_dim), d.hidden), "compressor", "wkv"),
)

_INDEXER = (
    Row("attn.indexer.compressor.ape", "f32", lambda d, n: (4, 2 * d.index_dim), "position-bias"),
    Row("attn.indexer.compressor.norm.weight", "bf16", lambda d, n: (d.index_dim,), "norm"),
    Row("attn.indexer.compressor.wgate.weight", "bf16", lambda d, n: (2 * d.index_dim, d.hidden), "indexer", "wgate"),
    Row("attn.indexer.compressor.wkv.weight", "bf16", lambda d, n: (2 * d.index_dim, d.hidden), "indexer", "wkv"),
    Row("attn.indexer.weights_proj.weight", "bf16", lambda d, n: (d.index_heads, d.hidden), "indexer", "weights_proj"),
    Row("attn.indexer.wq_b.weight", "fp8", lambda d, n: (d.index_heads * d.index_dim, d.q_lora), "indexer", "wq_b"),
)

_FEED_FORWARD = (
    Row("attn_norm.weight", "bf16", lambda d, n: (d.hidden,), "norm"),
    Row("ffn.gate.weight", "bf16", lambda d, n: (d.experts, d.hidden), "router"),
    Row("ffn.gate.bias", "f32", lambda d, n: (d.experts,), "router-bias"),
    Row("ffn.gate.tid2eid", "int", lambda d, n: (d.vocab, d.topk), "hash-table"),
    Row("ffn.experts.{E}.w1.weight", "fp4", lambda d, n: (d.inter, d.hidden), "routed-expert", "gate"),
    Row("ffn.experts.{E}.w2.weight", "fp4", lambda d, n: (d.hidden, d.inter), "routed-expert", "down"),
    Row("ffn.experts.{E}.w3.weight", "fp4", lambda d, n: (d.inter, d.hidden), "routed-expert", "up"),
    Row("ffn.shared_experts.w1.weight", "fp8", lambda d, n: (d.shared, d.hidden), "shared-expert", "gate"),
    Row("ffn.shared_experts.w2.weight", "fp8", lambda d, n: (d.hidden, d.shared), "shared-expert", "down"),
    Row("ffn.shared_experts.w3.weight", "fp8", lambda d, n: (d.shared, d.hidden), "shared-expert", "up"),
    Row("ffn_norm.weight", "bf16", lambda d, n: (d.hidden,), "norm"),
    Row("hc_attn_base", "f32", lambda d, n: (d.mix,), "hyper-connection"),
    Row("hc_attn_fn", "f32", lambda d, n: (d.mix, d.hc * d.hidden), "hyper-connection"),
    Row("hc_attn_scale", "f32", lambda d, n: (3,), "hyper-connection"),
    Row("hc_ffn_base", "f32", lambda d, n: (d.mix,), "hyper-connection"),
    Row("hc_ffn_fn", "f32", lambda d, n: (d.mix, d.hc * d.hidden), "hyper-connection"),
    Row("hc_ffn_scale", "f32", lambda d, n: (3,), "hyper-connection"),
)

_HC_HEAD = (
    Row("hc_head_base", "f32", lambda d, n: (d.hc,), "hyper-connection"),
    Row("hc_head_fn", "f32", lambda d, n: (d.hc, d.hc * d.hidden), "hyper-connection"),
    Row("hc_head_scale", "f32", lambda d, n: (1,), "hyper-connection"),
)

_CLASSIC_MTP = (
    Row("e_proj.weight", "fp8", lambda d, n: (d.hidden, d.hidden), "mtp-projection", "e_proj"),
    Row("h_proj.weight", "fp8", lambda d, n: (d.hidden, d.hidden), "mtp-projection", "h_proj"),
    Row("enorm.weight", "bf16", lambda d, n: (d.hidden,), "norm"),
    Row("hnorm.weight", "bf16", lambda d, n: (d.hidden,), "norm"),
    Row("norm.weight", "bf16", lambda d, n: (d.hidden,), "norm"),
    *_HC_HEAD,
)

_GLOBALS = (
    Row("embed.weight", "bf16", lambda d, n: (d.vocab, d.hidden), "embedding"),
    Row("head.weight", "bf16", lambda d, n: (d.vocab, d.hidden), "lm-head"),
    Row("norm.weight", "bf16", lambda d, n: (d.hidden,), "norm"),
    *_HC_HEAD,
)

_CONDITIONS = {"ffn.gate.bias": _not_hashed, "ffn.gate.tid2eid": _hashed}


def _rows() -> tuple[Row, ...]:
    rows = list(_GLOBALS)
    block = [
        *((row, None) for row in _ATTENTION),
        *((row, _compressed) for row in _COMPRESSOR),
        *((row, _indexed) for row in _INDEXER),
        *((row, _CONDITIONS.get(row.pattern)) for row in _FEED_FORWARD),
    ]
    for head in ("layers", "mtp"):
        for row, on in block:
            rows.append(
                Row(f"{head}.{{N}}.{row.pattern}", row.stored, row.shape, row.role, row.projection, on or row.on)
            )
    rows += [Row(f"mtp.{{N}}.{row.pattern}", row.stored, row.shape, row.role, row.projection) for row in _CLASSIC_MTP]
    return tuple(rows)


DEEPSEEK_V4 = Family("deepseek_v4", dims_of, layer_sets, _rows())
