"""Floor 1, checkpoint. Holds the config.json of each release that this version knows, for `synth` and for names. This
module is pure.

This module never decides what a checkpoint contains: its own config and headers do.
The values are those of the released config.json files. The lists of 0731 and V4.1 follow from their layer counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import isqrt
from typing import Any

from dsv4recipe.checkpoint.dims import Dims
from dsv4recipe.checkpoint.graph import detect_family

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

_DSPARK = {
    "dspark_block_size": 5, "dspark_noise_token_id": 128799, "dspark_target_layer_ids": [], "dspark_markov_rank": 256,
}  # fmt: skip

_TEXT_V41 = {
    "model_type": "deepseek_v41_text", "vocab_size": 129280, "hidden_size": 5120, "moe_intermediate_size": 2304,
    "num_hidden_layers": 40, "num_attention_heads": 64, "num_key_value_heads": 1, "head_dim": 512,
    "qk_rope_head_dim": 64, "q_lora_rank": 1280, "o_lora_rank": 1024, "o_groups": 8, "hidden_act": "silu",
    "swiglu_limit": 10.0, "rms_norm_eps": 1e-20, "tie_word_embeddings": False, "attention_bias": False,
    "attention_dropout": 0.0, "initializer_range": 0.02, "use_cache": True, "max_position_embeddings": 1048576,
    "rope_theta": 10000, "compress_rope_theta": 160000,
    "rope_scaling": {
        "rope_type": "yarn", "factor": 16, "beta_fast": 32, "beta_slow": 1, "original_max_position_embeddings": 65536,
    },
    "n_routed_experts": 384, "n_shared_experts": 1, "num_experts_per_tok": 6, "scoring_func": "sqrtsoftplus",
    "topk_method": "noaux_tc", "norm_topk_prob": True, "routed_scaling_factor": 1.5, "sliding_window": 128,
    "compress_ratios": [], "kv_source_layer_ids": [], "index_source_layer_ids": [], "index_n_heads": 32,
    "index_head_dim": 128, "index_topk": 512, "candidate_source_layer_id": 20, "candidate_topk_blocks": 2048,
    "candidate_block_size": 8, "hc_mult": 4, "hc_sinkhorn_iters": 20, "hc_eps": 1e-06, "engram_layer_ids": [1, 14],
    "engram_num_embeddings": [], "engram_max_ngram_size": 4, "engram_vocab_size": 16000000, "engram_n_heads": 8,
    "engram_head_dim": 256, "engram_pad_token_id": 2, "engram_compressed_vocab_size": 99092,
    "num_nextn_predict_layers": 3, **_DSPARK, "dspark_n_routed_experts": 128, "dspark_num_experts_per_tok": 3,
}  # fmt: skip

_V41: dict[str, Any] = {
    "architectures": ["DeepseekV41ForCausalLM"], "model_type": "deepseek_v41", "dtype": "bfloat16", "bos_token_id": 0,
    "eos_token_id": 1, "pad_token_id": 2, "image_token_id": 129264,
    "quantization_config": {
        "activation_scheme": "dynamic", "expert_dtype": "fp4", "quant_method": "fp8", "scale_fmt": "ue8m0",
        "weight_block_size": [32, 32],
    },
    "text_config": _TEXT_V41,
    "vision_config": {
        "model_type": "deepseek_v41_vision", "num_hidden_layers": 32, "hidden_size": 1024, "num_attention_heads": 16,
        "intermediate_size": 2816, "patch_size": 14, "rope_theta": 10000, "downsample_ratio": 3,
        "max_image_tokens": 1024, "max_wh_ratio": None, "min_pixels": 295936,
    },
}  # fmt: skip


@dataclass(frozen=True)
class Release:
    """Describes a release: its repository and commit on the hub, its config.json without the lists that depend on the
    number of layers, its number of MTP stages, and the function that writes those lists: `lay_out(text section,
    stages)`."""

    model: str
    revision: str
    config: dict[str, Any]
    stages: int
    lay_out: Callable[[dict[str, Any], int], None]

    def full_config(self) -> dict[str, Any]:
        """Returns config.json as released."""
        config = copied(self.config)
        self.lay_out(dict_section(config), self.stages)
        return config


def copied(config: dict[str, Any]) -> dict[str, Any]:
    """Returns a copy whose sections can be changed."""
    return {key: dict(value) if isinstance(value, dict) else value for key, value in config.items()}


def dict_section(config: dict[str, Any]) -> dict[str, Any]:
    """Returns the section that describes the language model; the caller may change it."""
    section: dict[str, Any] = config.get("text_config", config)
    return section


def _lay_out_v4(first: int) -> Callable[[dict[str, Any], int], None]:
    """Returns a function that writes compress ratio `first` on two layers, then 4 and 128 in turn, 0 on MTP stages."""

    def lay_out(text: dict[str, Any], stages: int) -> None:
        count = text["num_hidden_layers"]
        text["num_hash_layers"] = min(text["num_hash_layers"], count)
        ratios = [first if layer < 2 else 128 if layer % 2 else 4 for layer in range(count)]
        text["compress_ratios"] = ratios + [0] * stages
        if "dspark_block_size" in text:
            text["dspark_target_layer_ids"] = _last_three(count)

    return lay_out


def _lay_out_v41(text: dict[str, Any], stages: int) -> None:
    """Writes the lists of V4.1. Two layers have the window only; the ratio is 2 up to the middle and 1 after it. Every
    sixth layer is a source of KV and index keys. From the middle on, every fourth layer (in a small model every second)
    makes index queries."""
    count = text["num_hidden_layers"]
    middle = max(2, count // 2)
    kv_step, index_step = (6, 4) if count > 12 else (2, 2)
    sources = [layer for layer in (*range(2, middle, kv_step), middle) if layer < count]
    text["compress_ratios"] = [0 if n < 2 else 2 if n < middle else 1 for n in range(count)] + [0] * stages
    text["kv_source_layer_ids"] = sources
    text["index_source_layer_ids"] = sources + list(range(middle + index_step, count, index_step))
    text["candidate_source_layer_id"] = middle if middle < count else -1
    text["engram_layer_ids"] = [layer for layer in text["engram_layer_ids"] if layer < count]
    text["engram_num_embeddings"] = engram_rows(
        len(text["engram_layer_ids"]),
        (text["engram_max_ngram_size"] - 1) * text["engram_n_heads"],
        text["engram_vocab_size"],
        text["engram_n_heads"],
    )
    text["dspark_target_layer_ids"] = _last_three(count)


def _last_three(count: int) -> list[int]:
    return list(range(max(0, count - 3), count))


def engram_rows(tables: int, buckets: int, least: int, heads: int) -> list[int]:
    """Returns the number of rows of each Engram table: the sum of its bucket sizes, one per n-gram size and head. A
    bucket takes the next prime from `least` on that no bucket has yet; each n-gram size starts at `least` again."""
    taken: set[int] = set()
    rows = []
    for _ in range(tables):
        sizes: list[int] = []
        for bucket in range(buckets):
            size = least if bucket % heads == 0 else sizes[-1] + 1
            while size in taken or not _prime(size):
                size += 1
            taken.add(size)
            sizes.append(size)
        rows.append(sum(sizes))
    return rows


def _prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in (2, *range(3, isqrt(number) + 1, 2)) if divisor < number)


_REVISION = {
    "DeepSeek-V4-Flash": "6e763230a9d263eca2023f1d4a5ce1bfe126cf48",
    "DeepSeek-V4-Flash-0731": "7872f01b1d1fe23eabc4c98b48bffcef5a386062",
    "DeepSeek-V4-Pro": "b5968e9190ef611bbf34a7229255be88a0e937c1",
    "DeepSeek-V4.1-Flash": "dba1be0a40aa45a94ad051997016db3960a90277",
}

RELEASES: dict[str, Release] = {
    "v4-flash": Release("deepseek-ai/DeepSeek-V4-Flash", _REVISION["DeepSeek-V4-Flash"], _FLASH, 1, _lay_out_v4(0)),
    "v4-flash-0731": Release(
        "deepseek-ai/DeepSeek-V4-Flash-0731", _REVISION["DeepSeek-V4-Flash-0731"], _FLASH | _DSPARK, 3, _lay_out_v4(0)
    ),
    "v4-pro": Release("deepseek-ai/DeepSeek-V4-Pro", _REVISION["DeepSeek-V4-Pro"], _FLASH | _PRO, 1, _lay_out_v4(128)),
    "v4.1-flash": Release("deepseek-ai/DeepSeek-V4.1-Flash", _REVISION["DeepSeek-V4.1-Flash"], _V41, 3, _lay_out_v41),
}


def release_model(dims: Dims) -> str:
    """Returns the repository of the release that has exactly these dimensions, or "" if there is none."""
    return next((release.model for name, release in RELEASES.items() if _dims_of(name) == dims), "")


@cache
def _dims_of(release: str) -> Dims:
    config = RELEASES[release].full_config()
    return detect_family(config, "").dims_of(config, "")
