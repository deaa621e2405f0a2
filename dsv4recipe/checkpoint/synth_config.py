"""Floor 1, checkpoint. Makes the config.json of synthetic checkpoints from a release and a preset. This module is pure.

A preset changes a release's values; the set of keys and their order stay.
"""

from __future__ import annotations

from typing import Any

from dsv4recipe.checkpoint.releases import RELEASES, copied, dict_section
from dsv4recipe.errors import RecipeError, did_you_mean

_TINY: dict[str, Any] = {
    "vocab_size": 512, "hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "head_dim": 128,
    "q_lora_rank": 128, "o_lora_rank": 128, "o_groups": 2, "moe_intermediate_size": 128, "n_routed_experts": 8,
    "num_experts_per_tok": 2, "index_n_heads": 4, "index_head_dim": 128, "index_topk": 8, "dspark_noise_token_id": 9,
    "dspark_markov_rank": 128,
}  # fmt: skip

_TINY_V41: dict[str, Any] = {
    "num_hidden_layers": 6, "candidate_topk_blocks": 2, "candidate_block_size": 4, "engram_layer_ids": [1],
    "engram_max_ngram_size": 3, "engram_vocab_size": 64, "engram_n_heads": 2, "engram_head_dim": 64,
    "engram_compressed_vocab_size": 512, "dspark_n_routed_experts": 4, "dspark_num_experts_per_tok": 2,
    "image_token_id": 8,
}  # fmt: skip
_TINY_VISION = {"num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 2, "intermediate_size": 96}

_SLICE = {"vocab_size": 16384, "num_hidden_layers": 1, "n_routed_experts": 64, "num_nextn_predict_layers": 0}


PRESETS = ("tiny", "tiny-256", "slice", "full")
"""The presets. tiny is a toy with every kind of layer. tiny-256 has expert rows of 256 weights, as ggml's blocks need.
slice has the release's real widths with one layer, 64 experts, a vocabulary of 16,384 and no MTP stage. full is the
release."""


def synth_config(release: str, preset: str, layers: int | None = None, experts: int | None = None) -> dict[str, Any]:
    """Returns the config.json of a synthetic checkpoint; `layers` and `experts` replace the preset's.

    Raises RecipeError C051 for an unknown release or preset and for counts that no model can have.
    """
    for what, word, known in (("release", release, tuple(RELEASES)), ("preset", preset, PRESETS)):
        if word not in known:
            raise RecipeError("C051", f'the {what} "{word}" is unknown', hint=did_you_mean(word, known))
    spec = RELEASES[release]
    v41 = "text_config" in spec.config
    tiny = _TINY | (_TINY_V41 if v41 else {})
    wide = tiny | {"moe_intermediate_size": 256}
    changes = {"tiny": tiny, "tiny-256": wide, "slice": _SLICE, "full": {}}[preset]
    wishes = {"num_hidden_layers": layers, "n_routed_experts": experts}
    changes = changes | {key: value for key, value in wishes.items() if value is not None}
    config = copied(spec.config)
    text = dict_section(config)
    for section in (config, text):
        section.update({key: changes[key] for key in section if key in changes})
    if preset != "full" and "vision_config" in config:
        config["vision_config"] |= _TINY_VISION if preset.startswith("tiny") else {"num_hidden_layers": 1}
    count, topk = text["num_hidden_layers"], text["num_experts_per_tok"]
    if not 1 <= count <= 1024:
        raise RecipeError("C051", f"{count} layers are not possible; choose 1 to 1,024")
    if not topk <= text["n_routed_experts"] <= 65536:
        message = f"{text['n_routed_experts']} experts are not possible; choose {topk} (num_experts_per_tok) to 65,536"
        raise RecipeError("C051", message)
    spec.lay_out(text, 0 if preset == "slice" else spec.stages)
    return config
