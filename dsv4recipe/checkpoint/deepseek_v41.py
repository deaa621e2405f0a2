"""Floor 1, checkpoint. Describes the DeepSeek-V4.1 family (Engram, vision, shared KV sources, DSpark) as a table.

See docs/reference/checkpoint.md. This module is pure. The rows that it shares with V4 are in `shared_rows`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsv4recipe.checkpoint import shared_rows as shared
from dsv4recipe.checkpoint.dims import Dims, read_dims
from dsv4recipe.checkpoint.family import Family, Row


def dims_of(config: Mapping[str, Any], file: str) -> Dims:
    """Returns the dimensions of a V4.1 config.json, whose language model is described in `text_config`. Raises
    RecipeError C010, which names every missing or invalid key."""
    return read_dims(config, file, ratios=(), tile=(32, 32))


def _own_kv(d: Dims, layer: int) -> bool:
    return layer in d.kv_sources


def _own_kv_gated(d: Dims, layer: int) -> bool:
    return layer in d.kv_sources and d.ratio(layer) > 1


def _own_index(d: Dims, layer: int) -> bool:
    return layer in d.index_sources


def _has_engram(d: Dims, layer: int) -> bool:
    return layer in d.engrams


_KV = (
    Row("attn.compressor.norm.weight", "bf16", lambda d, n: (d.head_dim,), "norm"),
    Row("attn.compressor.wkv.weight", "bf16", lambda d, n: (d.head_dim, d.hidden), "compressor", "wkv"),
)

_KV_GATE = (Row("attn.compressor.wgate.weight", "bf16", lambda d, n: (d.head_dim, d.hidden), "compressor", "wgate"),)

_INDEX_KEYS = (
    Row("attn.indexer.k_norm.weight", "bf16", lambda d, n: (d.index_dim,), "norm"),
    Row("attn.indexer.wk.weight", "bf16", lambda d, n: (d.index_dim, d.head_dim), "indexer", "wk"),
)

_ENGRAM = (
    Row("engram.embed.weight", "fp8", lambda d, n: (d.engrams[n], d.engram_dim), "engram-table", tile=(1, 32)),
    Row("engram.q_weight", "bf16", lambda d, n: (d.hc, d.hidden), "engram-gate"),
    Row("engram.k_weight", "bf16", lambda d, n: (d.hc, d.hidden), "engram-gate"),
    Row("engram.wkv.weight", "fp8", lambda d, n: (d.hidden * (d.hc + 1), d.engram_columns), "engram", "wkv"),
)

_BLOCK = (
    *shared.ATTENTION,
    *shared.on(_own_kv, _KV),
    *shared.on(_own_kv_gated, _KV_GATE),
    *shared.on(_own_kv, _INDEX_KEYS),
    *shared.on(_own_index, shared.INDEX_QUERIES),
    *shared.ROUTER,
    *shared.ROUTER_BIAS,
    *shared.ROUTER_BIAS_OF_IMAGES,
    *shared.EXPERTS,
    *shared.HYPER_CONNECTIONS,
    *shared.on(_has_engram, _ENGRAM),
)

DEEPSEEK_V41 = Family(
    "deepseek_v41",
    dims_of,
    (
        *shared.GLOBALS,
        *shared.in_layers_and_stages(_BLOCK),
        *shared.in_stages(shared.dspark("embed", "head")),
        *shared.in_stages(shared.on(shared.last_stage, (shared.NORM,))),
        *shared.VISION,
    ),
    nested=True,
)
