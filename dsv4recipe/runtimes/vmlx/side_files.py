"""Floor 2, runtimes. Side files of the `vmlx` target: config.json, jang_config.json, stop tokens, sidecar. This module
is pure.

Source: docs/reference/runtimes.md, "JANG companions" and "Configuration".
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.formats import Affine, Format, Mxtq
from dsv4recipe.runtimes.common.chat_template import ENCODER, has_template, own_template
from dsv4recipe.runtimes.common.side_files import EOS_TOKENS, copies, dump, load, mlx_config, stop_ids, token_ids
from dsv4recipe.runtimes.common.target import SideFile, SideInput
from dsv4recipe.runtimes.vmlx import sidecar as vmlx_sidecar


def vmlx_side_files(side: SideInput) -> tuple[SideFile, ...]:
    """Returns everything beside the shards of a vmlx bundle, but for card, recipe and manifest.

    Raises RecipeError T020 to T022 where the source lacks a file or token that the runtime needs, T023 without experts.
    """
    if ENCODER not in side.files:
        raise RecipeError(
            "T022", f"the source has no {ENCODER}, which vMLX imports to build prompts", Where(ENCODER),
            "download the whole repository, with its encoding folder",
        )  # fmt: skip
    eos = stop_ids(side)
    routed = _routed(side)
    files = [
        SideFile("config.json", dump(_config(side, eos, routed))),
        SideFile("jang_config.json", dump(_jang_config(side, routed))),
        SideFile("generation_config.json", dump({**load(side, "generation_config.json"), "eos_token_id": eos})),
        SideFile("tokenizer_config.json", dump({**load(side, "tokenizer_config.json"), "eos_token_id": eos})),
    ]
    if asked := vmlx_sidecar.uses((module.source, module.format) for module in side.modules):
        files.append(SideFile(vmlx_sidecar.NAME, vmlx_sidecar.content(asked)))
    return (*files, *copies(side))


def _routed(side: SideInput) -> dict[str, Any]:
    """Returns the routed experts' codec, their commonest width and, with MXTQ, the layers of another width.

    A layer whose projections differ has no one width, and `tq_bits` beside each tensor is what the loader reads. Where
    MXTQ stands beside other codecs, only MXTQ counts: vMLX's audit compares with `tq_bits` and with nothing else.
    """
    found = [module for module in side.modules if module.role == "routed-expert" and module.block == "main"]
    if not found:
        message = "the recipe keeps no routed experts, so vMLX would run the model on random ones"
        raise RecipeError("T023", message, hint="write a format for role routed-expert")
    mxtq = [module for module in found if isinstance(module.format, Mxtq)]
    counts = Counter(_width(module.format) for module in mxtq or found)
    width = max(counts, key=lambda bits: (counts[bits], -bits))
    layers: dict[int, set[int]] = {}
    for module in mxtq:
        layers.setdefault(module.layer or 0, set()).add(_width(module.format))
    odd = {str(layer): bits.pop() for layer, bits in sorted(layers.items()) if len(bits) == 1 and bits != {width}}
    codec = "mxtq" if mxtq else found[0].format.kind
    plan = {"codec": codec, "default_bits": width} | ({"routed_layer_bits": odd} if odd else {})
    return {"codec": codec, "bits": width, "bit_plan": plan}


def _width(fmt: Format) -> int:
    return int(getattr(fmt, "bits", 4))


def _profile(side: SideInput, routed: dict[str, Any]) -> dict[str, str]:
    """Returns the converter's names: JANGTQ2, JANGTQ_K without MTP, JANGTQ_V3 with layers of another width."""
    bits = routed["bits"]
    if not _is_mxtq(side):
        return {"profile": f"JANG_{bits}L", "variant": "std"}
    variant = "V3" if "routed_layer_bits" in routed["bit_plan"] else "std" if side.stages else "K"
    number = "" if bits == 2 and variant != "std" else str(bits)
    return {"profile": f"JANGTQ{number}" + (f"_{variant}" if variant != "std" else ""), "variant": variant}


def _is_mxtq(side: SideInput) -> bool:
    return any(isinstance(module.format, Mxtq) for module in side.modules)


def _mxtq_bits(side: SideInput, routed: dict[str, Any]) -> dict[str, int]:
    named = {"attention": "attention", "shared_expert": "shared-expert", "compressor": "compressor",
             "indexer": "indexer", "embed_tokens": "embedding", "lm_head": "lm-head"}  # fmt: skip
    affine = {m.role: m.format.bits for m in side.modules if isinstance(m.format, Affine) and m.block == "main"}
    return {"routed_expert": routed["bits"], "norms_router_hc": 16} | {k: affine.get(r, 16) for k, r in named.items()}


def _config(side: SideInput, eos: list[int], routed: dict[str, Any]) -> dict[str, Any]:
    config = mlx_config(side, eos)
    config["_name_or_path"] = side.recipe_name
    rope = side.config.get("rope_scaling")
    if not isinstance(rope, dict):
        raise RecipeError(
            "T020",
            "config.json has no rope_scaling",
            Where("config.json", subject="rope_scaling"),
            "copy rope_scaling from the config.json of the release",
        )
    as_float = {key: float(rope[key]) for key in ("beta_fast", "beta_slow", "factor") if key in rope}
    config["rope_parameters"] = {key: value for key, value in rope.items() if key != "type"} | as_float
    config["rope_parameters"] |= {"rope_type": rope.get("type"), "rope_theta": float(side.config["rope_theta"])}
    if _is_mxtq(side):
        extra = {"routed_expert_bits": routed["bits"], "routed_expert_bit_plan": routed["bit_plan"]}
        extra["mxtq_bits"] = _mxtq_bits(side, routed)
        config["quantization"] |= extra
        config["quantization_config"] |= extra
        config |= extra | {"weight_format": "mxtq", "mxtq_seed": _seed(side)}
        config["group_size"] = side.quantization["group_size"]
    return config


def _seed(side: SideInput) -> int:
    return next(m.format.seed for m in side.modules if isinstance(m.format, Mxtq))


def _jang_config(side: SideInput, routed: dict[str, Any]) -> dict[str, Any]:
    mxtq = _is_mxtq(side)
    top = {key: side.quantization[key] for key in ("bits", "group_size") if key in side.quantization}
    data: dict[str, Any] = {
        "weight_format": "mxtq" if mxtq else "affine",
        **_profile(side, routed),
        "drop_mtp": not side.stages,
        "critical_f32_preserved": True,
        "dsv4_runtime_requirements": {
            "limited_swiglu_tq_patch": mxtq,
            "generic_mlx_sinks": False,
            "native_cache_schema": "deepseek_v4_v7",
            "generic_turboquant_kv": False,
        },
        "quantization": {
            **top,
            "method": "affine+mxtq" if mxtq else "affine",
            "routed_experts": {"bits": routed["bits"], "codec": routed["codec"], "bit_plan": routed["bit_plan"]},
            "non_routed": {"codec": "affine", **top},
            "critical_control_tensors": "source-f32",
        },
        "source_model": side.model,
        "source_config": {
            "n_routed_experts": side.config.get("n_routed_experts"),
            "num_hidden_layers": side.config.get("num_hidden_layers"),
            "n_hash_layers": side.config.get("num_hash_layers"),
        },
        "routed_expert_bit_plan": routed["bit_plan"],
        "mxtq_bits": _mxtq_bits(side, routed) if mxtq else {},
        "model_family": "deepseek_v4",
        "routed_expert_layout": "prestacked" if side.experts == "stacked" else "per-expert",
        "capabilities": CAPABILITIES,
        "chat": _chat(side),
    }
    return data | ({"mxtq_seed": _seed(side)} if mxtq else {})


CAPABILITIES = {
    "family": "deepseek_v4",
    "reasoning_parser": "deepseek_r1",
    "tool_parser": "dsml",
    "think_in_template": True,
    "cache_type": "mla",
}
"""As the JANGTQ2 bundle announces them."""


def _chat(side: SideInput) -> dict[str, Any]:
    return {
        "encoder": "encoding_dsv4",
        "encoder_fn": "encode_messages",
        "chat_template_source": "builtin_encoding_module",
        "has_tokenizer_chat_template": has_template(side) or bool(own_template(side)),
        "bos_token": "<｜begin▁of▁sentence｜>",
        "eos_token": "<｜end▁of▁sentence｜>",
        "bos_token_id": side.config.get("bos_token_id"),
        "eos_token_id": token_ids(side, EOS_TOKENS[:1])[0],
        "role_tokens": {
            "user": "<｜User｜>",
            "assistant": "<｜Assistant｜>",
            "latest_reminder": "<｜latest_reminder｜>",
        },
        "reasoning": {
            "supported": True,
            "modes": ["chat", "thinking"],
            "default_mode": "chat",
            "thinking_start": "<think>",
            "thinking_end": "</think>",
            "reasoning_effort_levels": ["max", "high", None],
            "drop_earlier_reasoning": True,
        },
        "tool_calling": {
            "supported": True,
            "parser": "dsml",
            "dsml_token": "｜DSML｜",
            "tool_calls_block": "tool_calls",
            "invoke_block": "invoke",
            "parameter_block": "parameter",
            "tool_output_tag": "tool_result",
        },
        "sampling_defaults": {
            "temperature": 0.6,
            "top_p": 0.95,
            "repetition_penalty": 1.0,
            "repetition_penalty_thinking": 1.0,
            "repetition_penalty_chat": 1.05,
            "max_new_tokens": 4096,
        },
    }
