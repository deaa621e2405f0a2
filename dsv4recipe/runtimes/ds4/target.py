"""Floor 2, runtimes. `ds4`: antirez/ds4, whose loader has names, types and shapes of V4-Flash compiled in. Pure data.

Source: docs/reference/runtimes.md, "GGUF engines", read and run at ds4 8d57664 of 2026-05-21. Later versions load more;
each is another `Engine`, and takes the place of this one when somebody has read it.
"""

from __future__ import annotations

from itertools import product

from dsv4recipe.checkpoint.family import Slot
from dsv4recipe.runtimes.common.gguf_engine import Engine, Types
from dsv4recipe.runtimes.common.gguf_metadata import ARCHITECTURE
from dsv4recipe.runtimes.common.gguf_names import SHARED
from dsv4recipe.runtimes.common.target import Target

ROUTED = ("IQ2_XXS", "Q2_K", "Q4_K")

_TYPES: dict[str, tuple[str, ...]] = {
    "routed-expert": ROUTED,
    **dict.fromkeys(("attention", "shared-expert", "lm-head", "mtp-projection"), ("Q8_0",)),
    **dict.fromkeys(("embedding", "router", "compressor", "indexer", "position-bias"), ("F16",)),
    "hash-table": ("I32",),
}


def types(slot: Slot, rank: int) -> tuple[str, ...]:
    """Returns one type per tensor, but for routed experts, and for router and hyper-connections of prediction
    stages."""
    role = slot.row.role
    if role == "hyper-connection" and rank == 2:
        return ("F16", "F32") if slot.block == "mtp" else ("F16",)
    if role == "router" and slot.block == "mtp":
        return ("F16", "F32")
    return _TYPES.get(role, ("F32",))


def _metal(gate: str, down: str) -> str:
    slow = [f"{what} not fused" for what, odd in (("gate and up", gate == "Q2_K"), ("down", down == "IQ2_XXS")) if odd]
    return f"runs them slower: {', '.join(slow)}" if slow else ""


_EVERYWHERE: Types = ("IQ2_XXS", "Q2_K")
_Q4: Types = ("Q4_K", "Q4_K")

_V4_FLASH = {
    "block_count": 43, "embedding_length": 4096, "vocab_size": 129280, "attention.head_count": 64,
    "attention.head_count_kv": 1, "attention.key_length": 512, "attention.value_length": 512,
    "rope.dimension_count": 64, "attention.q_lora_rank": 1024, "attention.output_lora_rank": 1024,
    "attention.output_group_count": 8, "expert_count": 256, "expert_used_count": 6, "expert_feed_forward_length": 2048,
    "expert_shared_count": 1, "hash_layer_count": 3, "attention.sliding_window": 128,
    "attention.indexer.head_count": 64, "attention.indexer.key_length": 128, "attention.indexer.top_k": 512,
    "hyper_connection.count": 4, "hyper_connection.sinkhorn_iterations": 20,
    "rope.scaling.original_context_length": 65536, "rope.freq_base": 1e4, "rope.scaling.factor": 16.0,
    "rope.scaling.yarn_beta_fast": 32.0, "rope.scaling.yarn_beta_slow": 1.0, "attention.compress_rope_freq_base": 1.6e5,
    "expert_weights_scale": 1.5, "attention.layer_norm_rms_epsilon": 1e-6, "hyper_connection.epsilon": 1e-6,
    "expert_weights_norm": True, "attention.compress_ratios": (0, 0, *(128 if n % 2 else 4 for n in range(2, 43))),
    "swiglu_clamp_exp": (10.0,) * 43,
}  # fmt: skip

DS4_2026_05 = Engine(
    version="2026-05-21",
    types=types,
    backends={
        "cpu": {_EVERYWHERE: ""},
        "cuda": {_EVERYWHERE: ""},
        "metal": {pair: _metal(*pair) for pair in product(ROUTED, ROUTED)},
    },
    why_not={("cuda", _Q4): "runs them only for single tokens, so a longer prompt fails"},
    stages=("metal", "cuda"),
    values={f"{ARCHITECTURE}.{key}": value for key, value in _V4_FLASH.items()},
    tokens=(
        "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>", "<think>", "</think>",
        "｜DSML｜",
    ),
)  # fmt: skip

DS4 = Target(
    name="ds4",
    mtp=("drop", "keep"),
    mtp_paths=("classic",),
    stages=("classic",),
    tied=("gate", "up"),
    engine=DS4_2026_05,
    **SHARED,
)
