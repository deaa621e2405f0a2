"""Plans of the GGUF recipes at full size, against the published files and the engines' tables; and what is refused
before any work."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from dsv4recipe import load_recipe, make_plan
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.plan.canonical import dump_plan, load_plan
from dsv4recipe.plan.cautions import cautions
from dsv4recipe.plan.containers import placed
from dsv4recipe.plan.model import Plan
from dsv4recipe.recipe.load import parse_recipe
from dsv4recipe.recipe.shipped import recipe_path
from tests.gguf.recipes import text_of
from tests.recipes import refusals
from tests.targets.bundles import MLX_RECIPES, moved

BYTES = {
    "ds4-q2": 86_714_775_900, "ds4-q4": 164_628_167_004, "ds4-mix": 97_586_411_868, "ds4-mtp": 3_807_600_108,
}  # fmt: skip
PUBLISHED_PADDED = {"ds4-q2": 86_714_777_664, "ds4-q4": 164_628_168_768, "ds4-mtp": 3_807_600_192}


@pytest.fixture(scope="module")
def plans(full: Checkpoint) -> dict[str, Plan]:
    return {name: make_plan(load_recipe(name), full) for name in BYTES}


@pytest.mark.parametrize("name", BYTES)
def test_tensor_data_is_what_the_published_files_hold(plans: dict[str, Plan], name: str) -> None:
    plan = plans[name]
    assert plan.tensor_bytes == BYTES[name]
    assert f"{BYTES[name]:,} tensor bytes" in recipe_path(name).read_text(encoding="utf-8")
    (shard,) = plan.shards
    header = placed(plan, shard)[0].offset
    if name in PUBLISHED_PADDED:
        assert shard.file_bytes - header == PUBLISHED_PADDED[name]


def test_the_main_file_has_every_tensor_in_its_type(plans: dict[str, Plan]) -> None:
    """1,328 tensors: 345 Q8_0, 359 F16, 492 F32, 3 I32, 129 of routed experts (fact sheet ds4_gguf.md section 2)."""
    tensors = placed(plans["ds4-q2"], plans["ds4-q2"].shards[0])
    assert Counter(tensor.part.dtype for tensor in tensors) == {
        "Q8_0": 345, "F16": 359, "F32": 492, "I32": 3, "IQ2_XXS": 86, "Q2_K": 43,
    }  # fmt: skip
    by_layer = Counter(tensor.name.split(".")[1] for tensor in tensors if tensor.name.startswith("blk."))
    assert [by_layer[str(n)] for n in (0, 1, 2, 3, 4, 41, 42)] == [24, 24, 34, 28, 34, 28, 34]
    assert len(placed(plans["ds4-mtp"], plans["ds4-mtp"].shards[0])) == 32


NAMES = {
    "embed.weight": ("token_embd.weight", "F16", (129280, 4096)),
    "hc_head_scale": ("output_hc_scale.weight", "F32", (1,)),
    "layers.3.hc_attn_fn": ("blk.3.hc_attn_fn.weight", "F16", (24, 16384)),
    "layers.3.attn.q_norm.weight": ("blk.3.attn_q_a_norm.weight", "F32", (1024,)),
    "layers.3.attn.kv_norm.weight": ("blk.3.attn_kv_a_norm.weight", "F32", (512,)),
    "layers.3.attn.wo_b.weight": ("blk.3.attn_output_b.weight", "Q8_0", (4096, 8192)),
    "layers.3.attn.attn_sink": ("blk.3.attn_sinks.weight", "F32", (64,)),
    "layers.3.attn.compressor.ape": ("blk.3.attn_compressor_ape.weight", "F16", (128, 512)),
    "layers.4.attn.indexer.wq_b.weight": ("blk.4.indexer.attn_q_b.weight", "F16", (8192, 1024)),
    "layers.4.attn.indexer.weights_proj.weight": ("blk.4.indexer.proj.weight", "F16", (64, 4096)),
    "layers.4.attn.indexer.compressor.wgate.weight": ("blk.4.indexer_compressor_gate.weight", "F16", (256, 4096)),
    "layers.3.ffn.gate.bias": ("blk.3.exp_probs_b.bias", "F32", (256,)),
    "layers.0.ffn.gate.tid2eid": ("blk.0.ffn_gate_tid2eid.weight", "I32", (129280, 6)),
    "layers.3.ffn.experts.{0-255}.w3.weight": ("blk.3.ffn_up_exps.weight", "IQ2_XXS", (256, 2048, 4096)),
    "layers.3.ffn.experts.{0-255}.w2.weight": ("blk.3.ffn_down_exps.weight", "Q2_K", (256, 4096, 2048)),
    "layers.3.ffn.shared_experts.w1.weight": ("blk.3.ffn_gate_shexp.weight", "Q8_0", (2048, 4096)),
}


@pytest.mark.parametrize("source", NAMES)
def test_tensors_are_called_and_shaped_as_the_engines_have_them(plans: dict[str, Plan], source: str) -> None:
    plan = plans["ds4-q2"]
    found = [t for t in placed(plan, plan.shards[0]) if t.module.sources == source]
    assert [(t.name, t.part.dtype, t.part.shape) for t in found] == [NAMES[source]]


def test_globals_come_first_and_tensors_are_aligned_without_gaps(plans: dict[str, Plan]) -> None:
    for plan in plans.values():
        (shard,) = plan.shards
        tensors = placed(plan, shard)
        layers = [tensor.module.layer for tensor in tensors]
        assert layers == sorted(layers, key=lambda layer: -1 if layer is None else layer)
        end = tensors[0].offset
        for tensor in tensors:
            assert tensor.offset % 32 == 0
            assert 0 <= tensor.offset - end < 32
            end = tensor.offset + tensor.part.nbytes
        assert shard.file_bytes == -(-end // 32) * 32


def test_a_plan_file_comes_back_with_its_digest(plans: dict[str, Plan]) -> None:
    plan = plans["ds4-mtp"]
    assert load_plan(dump_plan(plan), "plan.json") == plan


Q2 = ("type: IQ2_XXS, importance: energy", "type: Q2_K, importance: none")
REFUSED = [
    (("importance: energy", "importance: none"), "T010", "IQ2_XXS cannot be found without an importance"),
    (("[attention, shared-expert, lm-head]}\n    format: {ggml: {type: Q8_0}}",
      "[attention, shared-expert, lm-head]}\n    format: {ggml: {type: Q4_K, importance: ones}}"),
     "T033", "does not load Q4_K for attention"),
    (("IQ2_XXS, importance: energy", "Q8_0"), "T033", "does not load Q8_0 for routed-expert"),
    (("F16", "F32"), "T033", "does not load F32 for hyper-connection"),
    (Q2, "T034", "cpu has no kernel for them"),
    (("backends: [metal, cuda, cpu]", ""), "T032", "does not say where it must run"),
    (("shard-size: none", "shard-size: 5GiB"), "T035", "loads one file"),
    (("mtp: drop", "mtp: keep"), "P001", "claimed by no rule"),
    (("[norm, router-bias, attention-sink, hyper-connection]}\n    format: {ggml: {type: F32}}",
      "[norm, router-bias, attention-sink, hyper-connection]}\n    drop: true"), "T036", "dropped that ds4 needs"),
    (("{type: F16}}\n  - id: hash", "{type: BF16}}\n  - id: hash"), "T033", "does not load BF16 for embedding"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "code", "words"), REFUSED)
def test_what_ds4_would_reject_is_refused_before_any_work(
    full: Checkpoint, change: tuple[str, str], code: str, words: str
) -> None:
    text = text_of("ds4-q2")
    assert change[0] in text
    found = refusals(parse_recipe(text.replace(*change), "r.yaml"), full)
    hit = next((each for each in found if each.code == code and words in each.message), None)
    assert hit is not None, [f"{each.code} {each.message}" for each in found]
    assert hit.hint


def test_gate_unlike_up_is_refused_for_ds4_and_not_for_llama_cpp(full: Checkpoint) -> None:
    match = "match: {role: routed-expert, projection: up}"
    rule = f"  - {{id: up, {match}, format: {{ggml: {{type: Q2_K, importance: ones}}}}}}\n"
    text = text_of("ds4-q2").replace("rules:\n", "rules:\n" + rule)
    codes = {each.code for each in refusals(parse_recipe(text, "r.yaml"), full)}
    assert codes == {"T015"}
    other = text.replace("runtime: ds4", "runtime: llama.cpp").replace("  backends: [metal, cuda, cpu]\n", "")
    assert refusals(parse_recipe(other, "r.yaml"), full) == ()


def test_q4_runs_on_metal_alone(full: Checkpoint) -> None:
    recipe = load_recipe("ds4-q4")
    everywhere = replace(recipe, target=replace(recipe.target, backends=("metal", "cuda", "cpu")))
    messages = [each.message for each in refusals(everywhere, full)]
    assert len(messages) == 2
    assert "cuda runs them only for single tokens" in messages[0]
    assert "cpu has no kernel for them" in messages[1]


def test_a_pair_that_metal_runs_unfused_is_a_warning(plans: dict[str, Plan], full: Checkpoint) -> None:
    assert not list(cautions(plans["ds4-q2"]))
    text = text_of("ds4-q2").replace(*Q2).replace("[metal, cuda, cpu]", "[metal]")
    found = list(cautions(make_plan(parse_recipe(text, "r.yaml"), full)))
    assert [(each.code, each.severity) for each in found] == [("T038", "warning")]
    assert "metal runs them slower: gate and up not fused" in found[0].message


def test_a_model_that_is_not_compiled_into_ds4_is_refused_and_runs_in_llama_cpp(tiny_256: Checkpoint) -> None:
    (found,) = refusals(load_recipe("ds4-q2"), tiny_256)
    assert found.code == "T037"
    assert "deepseek4.block_count is 4, not 43" in found.notes
    recipe = load_recipe("ds4-q2")
    assert refusals(replace(recipe, target=replace(recipe.target, runtime="llama.cpp", backends=())), tiny_256) == ()


def test_rows_that_no_block_fills_are_refused_by_name(tiny: Checkpoint) -> None:
    recipe = load_recipe("ds4-q2")
    found = refusals(replace(recipe, target=replace(recipe.target, runtime="llama.cpp", backends=())), tiny)
    assert [(each.code, each.notes) for each in found] == [
        ("T010", ("the first is layers.0.ffn.experts.{0-7}.w2.weight",))
    ]
    assert "blocks of 256 weights, which do not fill a row of 128" in found[0].message


@pytest.mark.parametrize("name", [name for name in MLX_RECIPES if "deepseek_v4" in load_recipe(name).source.family])
def test_a_recipe_of_another_container_says_what_to_change(full: Checkpoint, name: str) -> None:
    found = refusals(moved(name, "ds4"), full)
    assert {"T011", "T032", "T035"} <= {each.code for each in found}
    assert all(each.hint for each in found)


def test_backends_are_for_runtimes_that_have_them(full: Checkpoint) -> None:
    recipe = load_recipe("q4q8")
    (found,) = refusals(replace(recipe, target=replace(recipe.target, backends=("metal",))), full)
    assert (found.code, found.hint) == ("T032", "remove `backends`")
