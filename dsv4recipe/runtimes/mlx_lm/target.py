"""Floor 2, runtimes. `mlx-lm` 0.32.2: the released package's own class of DeepSeek-V4.1, text only. Pure data.

Source: the class `mlx_lm.models.deepseek_v41` as installed. It has no
Engram and raises for a config that calls for one; it has no vision, and takes a bundle under its own names as it is,
so that whatever it has no module for must be left out.
"""

from __future__ import annotations

from dsv4recipe.runtimes.common.names import PROJECTION_OF, NameMap
from dsv4recipe.runtimes.common.post_sanitize import CONTROL, named_as_loaded, runs
from dsv4recipe.runtimes.common.side_files import plain_side_files
from dsv4recipe.runtimes.common.target import Target

_HYPER = ("fn", "base", "scale")

NAMES = NameMap(
    root="model.",
    globals_={"embed": "model.embed_tokens", "head": "lm_head"},
    layer={
        "attn_norm": "input_layernorm",
        "ffn_norm": "post_attention_layernorm",
        "attn": "self_attn",
        "attn.attn_sink": "self_attn.sinks",
        "attn.wq_a": "self_attn.q_a_proj",
        "attn.wq_b": "self_attn.q_b_proj",
        "attn.wkv": "self_attn.kv_proj",
        "attn.wo_a": "self_attn.o_a_proj",
        "attn.wo_b": "self_attn.o_b_proj",
        "attn.q_norm": "self_attn.q_a_norm",
        "attn.compressor.wkv": "self_attn.compressor.kv_proj",
        "attn.compressor.wgate": "self_attn.compressor.gate_proj",
        "attn.compressor.norm": "self_attn.compressor.kv_norm",
        "attn.indexer.wq_b": "self_attn.indexer.q_b_proj",
        "attn.indexer.wk": "self_attn.indexer.k_proj",
        "ffn": "mlp",
        "ffn.gate.bias": "mlp.gate.e_score_correction_bias",
        **{f"ffn.experts.{{E}}.{w}": f"mlp.experts.switch_mlp.{name}" for w, name in PROJECTION_OF.items()},
        **{f"ffn.shared_experts.{w}": f"mlp.shared_experts.{name}" for w, name in PROJECTION_OF.items()},
        **{f"hc_attn_{part}": f"attn_hc.{part}" for part in _HYPER},
        **{f"hc_ffn_{part}": f"ffn_hc.{part}" for part in _HYPER},
    },
)

MLX_LM = Target(
    name="mlx-lm",
    families=("deepseek_v41",),
    names=NAMES,
    disk_stem=named_as_loaded(NAMES),
    expert_layouts=("stacked",),
    mtp=("drop",),
    halves=("bfloat16", "float16"),
    runs=runs(("affine", "mxfp8", "keep")),
    float32_roles=CONTROL,
    overrides="all",
    stem_overrides=False,
    side_files=plain_side_files,
    library="mlx",
    row_groups={"wo_a": "o_groups"},
    lacks=dict.fromkeys(("vision.", "aligner.", "image_"), "{block: vision}")
    | {"layers.{N}.ffn.gate.bias_vl": '{tensor: "*.gate.bias_vl"}'},
    refuses={
        "layers.{N}.engram.": "it has no Engram (n-gram hash tables and the attention to them) and raises for a config "
        "that calls for it; without its tables the model would be another one",
    },
)
