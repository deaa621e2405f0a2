"""Floor 1, checkpoint. config.json of synthetic checkpoints: releases × presets. Pure.

Source of the values: fact sheet checkpoint.md 2.1 and 2.2. A preset changes a release's values, key set and order stay.
"""

from __future__ import annotations

from typing import Any

from dsv4recipe.errors import RecipeError, did_you_mean

_FLASH: dict[str, Any] = {
    "architectures": ["DeepseekV4ForCausalLM"], "model_type": "deepseek_v4", "torch_dtype": "bfloat16",
    "transformers_version": "4.57.1", "bos_token_id": 0, "eos_token_id": 1, "tie_word_embeddings": False,
    "use_cache": True, "vocab_size": 129280, "hidden_size": 4096, "num_hidden_layers": 43,
    "max_position_embeddings": 1048576, "initializer_range": 0.02, "rms_norm_eps": 1e-06, "hidden_act": "silu",
    "swiglu_limit": 10.0, "num_attention_heads": 64, "num_key_value_heads": 1, "head_dim": 512,
    "qk_rope_head_dim": 64, "q_lora_rank": 1024, "o_lora_rank": 1024, "o_groups": 8, "attention_bias": False,
    "attention_dropout": 0.0, "sliding_window": 128, "moe_intermediate_size": 2048, "n_routed_experts": 256,
    "n_shared_experts": 1, "num_experts_per_tok": 6, "num_hash_layers": 3, "routed_scaling_factor": 1.5,
    "scoring_func": "sqrtsoftplus", "topk_method": "noaux_tc", "norm_topk_prob": True, "hc_mult": 4,
    "hc_sinkhorn_iters": 20, "hc_eps": 1e-06, "index_n_heads": 64, "index_head_dim": 128, "index_topk": 512,
    "num_nextn_predict_layers": 1, "rope_theta": 10000, "compress_rope_theta": 160000,
    "rope_scaling": {
        "beta_fast": 32, "beta_slow": 1, "factor": 16, "original_max_position_embeddings": 65536, "type": "yarn",
    },
    "expert_dtype": "fp4",
    "quantization_config": {
        "activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8", "scale_fmt": "ue8m0",
        "weight_block_size": [128, 128],
    },
    "compress_ratios": [],
}  # fmt: skip

_PRO = {
    "hidden_size": 7168, "num_hidden_layers": 61, "num_attention_heads": 128, "q_lora_rank": 1536, "o_groups": 16,
    "moe_intermediate_size": 3072, "n_routed_experts": 384, "routed_scaling_factor": 2.5, "index_topk": 1024,
}  # fmt: skip

_TINY = {
    "vocab_size": 512, "hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "head_dim": 128,
    "q_lora_rank": 128, "o_lora_rank": 128, "o_groups": 2, "moe_intermediate_size": 128, "n_routed_experts": 8,
    "num_experts_per_tok": 2, "index_n_heads": 4, "index_head_dim": 128, "index_topk": 8,
}  # fmt: skip

_SLICE = {"vocab_size": 16384, "num_hidden_layers": 1, "n_routed_experts": 64, "num_nextn_predict_layers": 0}

RELEASES: dict[str, tuple[dict[str, Any], int]] = {"v4-flash": ({}, 0), "v4-pro": (_PRO, 128)}
"""Release → what it changes against V4-Flash, and the compress ratio of its first two layers."""

PRESETS: dict[str, dict[str, Any]] = {"tiny": _TINY, "slice": _SLICE, "full": {}}
"""tiny: a toy of every kind of layer. slice: the release's real widths with one layer, 64 experts, a vocabulary of
16,384 and no MTP stage. full: the release."""


def synth_config(release: str, preset: str, layers: int | None = None, experts: int | None = None) -> dict[str, Any]:
    """config.json of a synthetic checkpoint; `layers` and `experts` replace the preset's.

    Raises RecipeError C051 for an unknown release or preset and for counts that no model can have.
    """
    for what, word, known in (("release", release, RELEASES), ("preset", preset, PRESETS)):
        if word not in known:
            raise RecipeError("C051", f'the {what} "{word}" is unknown', hint=did_you_mean(word, known))
    changes, first_ratio = RELEASES[release]
    config = _FLASH | changes | PRESETS[preset]
    config["num_hidden_layers"] = config["num_hidden_layers"] if layers is None else layers
    config["n_routed_experts"] = config["n_routed_experts"] if experts is None else experts
    count, topk = config["num_hidden_layers"], config["num_experts_per_tok"]
    if not 1 <= count <= 1024:
        raise RecipeError("C051", f"{count} layers: 1 to 1,024 are possible")
    if not topk <= config["n_routed_experts"] <= 65536:
        message = f"{config['n_routed_experts']} experts: {topk} (num_experts_per_tok) to 65,536 are possible"
        raise RecipeError("C051", message)
    config["num_hash_layers"] = min(config["num_hash_layers"], count)
    ratios = [first_ratio if layer < 2 else 128 if layer % 2 else 4 for layer in range(count)]
    config["compress_ratios"] = ratios + [0] * config["num_nextn_predict_layers"]
    return config
