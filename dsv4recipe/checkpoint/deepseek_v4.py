"""Floor 1, checkpoint. Describes the DeepSeek-V4 family (V4-Flash, V4-Flash-0731, V4-Pro; both kinds of MTP) as a
table.

See docs/reference/checkpoint.md. This module is pure. The rows that V4.1 shares with it are in `shared_rows`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsv4recipe.checkpoint import shared_rows as shared
from dsv4recipe.checkpoint.dims import Dims, read_dims
from dsv4recipe.checkpoint.family import Family, Row


def dims_of(config: Mapping[str, Any], file: str) -> Dims:
    """Returns the dimensions of a V4 config.json. Raises RecipeError C010, which names every bad key."""
    return read_dims(config, file, ratios=(0, 4, 128), tile=(128, 128))


def _compressed(d: Dims, layer: int) -> bool:
    return d.ratio(layer) != 0


def _indexed(d: Dims, layer: int) -> bool:
    return d.ratio(layer) == 4


def _hashed(d: Dims, layer: int) -> bool:
    return layer < d.hash_layers


def _not_hashed(d: Dims, layer: int) -> bool:
    return not _hashed(d, layer)


def _classic(d: Dims, layer: int) -> bool:  # noqa: ARG001 - one signature for all conditions
    return not d.dspark


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
    *shared.INDEX_QUERIES,
)

_HASH_TABLE = (Row("ffn.gate.tid2eid", "int", lambda d, n: (d.vocab, d.topk), "hash-table", indexes="routed experts"),)

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
)


def _classic_or_last(d: Dims, layer: int) -> bool:
    """Returns whether the stage produces tokens: every classic stage does, and the last of the DSpark stages."""
    return not d.dspark or shared.last_stage(d, layer)


_BLOCK = (
    *shared.ATTENTION,
    *shared.on(_compressed, _COMPRESSOR),
    *shared.on(_indexed, _INDEXER),
    *shared.ROUTER,
    *shared.on(_not_hashed, shared.ROUTER_BIAS),
    *shared.on(_hashed, _HASH_TABLE),
    *shared.EXPERTS,
    *shared.HYPER_CONNECTIONS,
)

_STAGE = (
    *shared.on(_classic, _CLASSIC_MTP),
    *shared.on(_classic_or_last, (shared.NORM, *_HC_HEAD)),
    *shared.dspark("markov_w1", "markov_w2"),
)

DEEPSEEK_V4 = Family(
    "deepseek_v4",
    dims_of,
    (
        *shared.GLOBALS,
        *_HC_HEAD,
        *shared.in_layers_and_stages(_BLOCK),
        *shared.in_stages(_STAGE),
    ),
)
