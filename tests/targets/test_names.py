"""Name maps: a bijection over every tensor of V4-Flash, and the published spellings of each runtime."""

from __future__ import annotations

import pytest

from dsv4recipe.checkpoint.family import Slot
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.runtimes import get, running

FAMILY = "deepseek_v4"

SPELLINGS = {
    "embed.weight": ("model.embed_tokens", "model.embed"),
    "head.weight": ("lm_head", "lm_head"),
    "norm.weight": ("model.norm", "model.norm"),
    "hc_head_fn": ("model.hc_head.fn", "model.hc_head_fn"),
    "layers.3.attn_norm.weight": ("model.layers.3.attn_norm", "model.layers.3.input_layernorm"),
    "layers.3.attn.attn_sink": ("model.layers.3.attn.attn_sink", "model.layers.3.self_attn.attn_sink"),
    "layers.3.attn.wo_a.weight": ("model.layers.3.attn.wo_a", "model.layers.3.self_attn.wo_a"),
    "layers.3.attn.compressor.ape": ("model.layers.3.attn.compressor.ape", "model.layers.3.self_attn.compressor.ape"),
    "layers.2.attn.indexer.compressor.wkv.weight": (
        "model.layers.2.attn.indexer.compressor.wkv",
        "model.layers.2.self_attn.indexer.compressor.wkv",
    ),
    "layers.3.ffn.gate.weight": ("model.layers.3.ffn.gate", "model.layers.3.mlp.gate"),
    "layers.3.ffn.gate.bias": ("model.layers.3.ffn.gate.e_score_correction_bias", "model.layers.3.mlp.gate.bias"),
    "layers.0.ffn.gate.tid2eid": ("model.layers.0.ffn.gate.tid2eid", "model.layers.0.mlp.gate.tid2eid"),
    "layers.3.ffn.experts.0.w1.weight": (
        "model.layers.3.ffn.switch_mlp.gate_proj",
        "model.layers.3.mlp.switch_mlp.gate_proj",
    ),
    "layers.3.ffn.shared_experts.w2.weight": (
        "model.layers.3.ffn.shared_experts.down_proj",
        "model.layers.3.mlp.shared_experts.down_proj",
    ),
    "layers.3.hc_ffn_scale": ("model.layers.3.ffn_hc.scale", "model.layers.3.hc_ffn_scale"),
}
"""Source name → path in the class of mlx-lm#1192, and in jang's."""


def slot_of(checkpoint: Checkpoint, name: str) -> Slot:
    slot = checkpoint.family.slot(name, checkpoint.dims)
    assert slot is not None
    return slot


@pytest.mark.parametrize("name", running(FAMILY))
def test_every_tensor_has_one_path_and_one_place_on_disk(full: Checkpoint, name: str) -> None:
    target = get(name, FAMILY)
    slots = [group.slot for group in full.groups]
    paths = [path for slot in slots if (path := target.path(slot)) is not None]
    assert len(paths) == len(set(paths)) == (1360 if "classic" in target.mtp_paths else 1328)
    assert all((target.path(slot) is None) != ("classic" in target.mtp_paths) for slot in slots if slot.block == "mtp")
    for layout in target.expert_layouts:
        assert len({target.disk_stem(slot, layout) for slot in slots}) == len(slots)


@pytest.mark.parametrize("source", SPELLINGS)
def test_paths_are_spelled_as_each_runtime_spells_them(full: Checkpoint, source: str) -> None:
    slot = slot_of(full, source)
    plain, jang = SPELLINGS[source]
    assert {get(name, FAMILY).path(slot) for name in ("rapid-mlx", "omlx", "universal")} == {plain}
    assert get("vmlx", FAMILY).path(slot) == jang
    assert get("mlx-vlm", FAMILY).path(slot) == "language_model." + plain
    branch = plain.replace("attn_hc.", "hc_attn.").replace("ffn_hc.", "hc_ffn.")
    assert get("mlx-lm-fork", FAMILY).path(slot) == branch
    heirs = ("mlx-vlm", "rapid-mlx", "omlx", "mlx-lm-fork")
    assert [get(name, FAMILY).disk_stem(slot, "stacked") for name in heirs] == [plain, plain, plain, branch]


def test_the_universal_bundle_has_source_names_and_keys_in_every_dialect(full: Checkpoint) -> None:
    universal = get("universal", FAMILY)
    gate = slot_of(full, "layers.3.ffn.experts.0.w1.weight")
    assert universal.disk_stem(gate, "stacked") == "layers.3.ffn.switch_mlp.gate_proj"
    assert universal.disk_stem(slot_of(full, "layers.3.hc_ffn_scale"), "stacked") == "layers.3.hc_ffn_scale"
    assert universal.keys(gate) == (
        "model.layers.3.ffn.switch_mlp.gate_proj",
        "model.layers.3.mlp.switch_mlp.gate_proj",
        "language_model.model.layers.3.ffn.switch_mlp.gate_proj",
    )
    assert universal.keys(slot_of(full, "mtp.0.e_proj.weight")) == ()


def test_mlx_vlm_also_finds_entries_without_its_wrapper(full: Checkpoint) -> None:
    slot = slot_of(full, "layers.3.attn.wkv.weight")
    inner = "layers.3.attn.wkv"
    assert get("mlx-vlm", FAMILY).lookups(slot) == ((f"language_model.model.{inner}", f"model.{inner}", inner),)
