"""The 17 rules of the vMLX contract (fact sheet vmlx.md section 1), each on what our target really writes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from dsv4recipe import build, load_recipe, make_plan, open_checkpoint
from dsv4recipe.bundle.open import open_bundle
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.formats.base import ITEM_SIZE
from dsv4recipe.recipe.load import parse_recipe
from tests.recipes import changed, with_first_rule

SIDECAR = "jangtq_runtime.safetensors"
SHARD = "model-00001-of-00001.safetensors"
ROUTED = "format: {affine: {bits: 4, group-size: 32}}"
REST = "format: {affine: {bits: 8, group-size: 32}}"
FIRST = "  - id: first\n    match: {role: routed-expert, block: main, layers: [0]}\n    format: {mxfp4: {}}\n"
TEXTS = {
    "mxfp4": changed(ROUTED, "format: {mxfp4: {}}"),
    "bfloat16": changed("half: float16", "half: bfloat16", changed(ROUTED, "format: {mxtq: {bits: 2}}")),
    "two group sizes": changed(REST, "format: {affine: {bits: 4, group-size: 64}}"),
    "later": with_first_rule(FIRST, changed("5GiB", "300KB", changed(ROUTED, "format: {mxtq: {bits: 2}}"))),
}
PROJECTIONS = {"gate_proj": ("w1", 128, 256), "up_proj": ("w3", 128, 256), "down_proj": ("w2", 256, 128)}
"""Name on disk when prestacked → name when single, out, in at tiny size."""

Make = Callable[[str], Path]
Tensors = dict[str, tuple[str, tuple[int, ...]]]


@pytest.fixture(scope="module")
def made(tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """The bundle of a shipped recipe or of one of TEXTS, built once."""

    @cache
    def make(name: str) -> Path:
        recipe = parse_recipe(TEXTS[name], "recipe.yaml") if name in TEXTS else load_recipe(name)
        return build(make_plan(recipe, tiny), tiny, tmp_path_factory.mktemp("rules") / "bundle")

    return make


def tensors(bundle: Path) -> Tensors:
    """Name → (dtype, shape) of every stored tensor; the bundle must open without a finding."""
    view, findings = open_bundle(bundle)
    assert findings == []
    return {entry.name: (entry.dtype, entry.shape) for header in view.shards for entry in header.tensors}


def document(bundle: Path, name: str) -> Any:
    return json.loads((bundle / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("recipe", ["jangtq2", "jangtq2-per-expert", "q4q8"])
def test_rule_1_names_are_the_sources_but_for_prestacked_experts(made: Make, tiny: Checkpoint, recipe: str) -> None:
    source = {t.name.removesuffix(".weight") for t in tiny.tensors}
    prestacked = {f"layers.{n}.mlp.switch_mlp.{p}" for n in range(4) for p in PROJECTIONS}
    suffix = r"\.(weight|scales|biases|tq_packed|tq_norms|tq_bits)$"
    stems = {re.sub(suffix, "", name) for name in tensors(made(recipe))}
    assert stems - source == (set() if recipe == "jangtq2-per-expert" else prestacked)


def test_rule_2_an_mxtq_stack(made: Make) -> None:
    for recipe, layer, bits in (("jangtq2", 3, 2), ("jangtq-hash4", 0, 4), ("jangtq-hash4", 3, 2)):
        found, data = tensors(made(recipe)), load_file(made(recipe) / SHARD)
        for projection, (_, rows, columns) in PROJECTIONS.items():
            stem = f"layers.{layer}.mlp.switch_mlp.{projection}"
            assert found[f"{stem}.tq_packed"] == ("U32", (8, rows, columns * bits // 32))
            assert found[f"{stem}.tq_norms"] == ("F16", (8, rows))
            assert found[f"{stem}.tq_bits"] == ("U8", (1,))
            assert data[f"{stem}.tq_bits"].tolist() == [bits]


def test_rule_3_affine_and_mxfp4_experts_are_prestacked_too(made: Make) -> None:
    affine, mxfp4 = tensors(made("q4q8")), tensors(made("mxfp4"))
    for projection, (_, rows, columns) in PROJECTIONS.items():
        stem, groups = f"layers.2.mlp.switch_mlp.{projection}", (8, rows, columns // 32)
        assert affine[f"{stem}.weight"] == mxfp4[f"{stem}.weight"] == ("U32", (8, rows, columns // 8))
        assert affine[f"{stem}.scales"] == affine[f"{stem}.biases"] == ("F16", groups)
        assert mxfp4[f"{stem}.scales"] == ("U8", groups)
        assert f"{stem}.biases" not in mxfp4


def test_rule_4_w1_is_gate_w2_is_down_w3_is_up_and_experts_keep_their_order(made: Make) -> None:
    stacked, single = (load_file(made(name) / SHARD) for name in ("jangtq2", "jangtq2-per-expert"))
    for projection, (w, _, _) in PROJECTIONS.items():
        for part in ("tq_packed", "tq_norms"):
            one_by_one = np.stack([single[f"layers.3.ffn.experts.{e}.{w}.{part}"] for e in range(8)])
            assert np.array_equal(stacked[f"layers.3.mlp.switch_mlp.{projection}.{part}"], one_by_one)


def test_rule_5_mtp_experts_stay_single(made: Make) -> None:
    found = tensors(made("jangtq2"))
    names = {f"mtp.0.ffn.experts.{e}.{w}.{p}" for e in range(8) for w in ("w1", "w2", "w3")
             for p in ("tq_packed", "tq_norms", "tq_bits")}  # fmt: skip
    assert {name for name in found if name.startswith("mtp.") and "experts." in name and "shared" not in name} == names
    assert {found[name] for name in names if name.endswith("tq_bits")} == {("I32", (1,))}
    assert not [name for name in tensors(made("jangtq2-k")) if name.startswith("mtp.")]


def test_rule_6_the_first_shard_holds_an_mxtq_stack_whatever_the_first_layer_became(made: Make) -> None:
    bundle = made("later")
    index = document(bundle, "model.safetensors.index.json")["weight_map"]
    first = min(index.values())
    assert len(set(index.values())) > 10
    assert "layers.0.mlp.switch_mlp.gate_proj.scales" in index
    stacks = {name for name, file in index.items() if file == first and name.endswith("switch_mlp.gate_proj.tq_packed")}
    assert stacks == {"layers.1.mlp.switch_mlp.gate_proj.tq_packed"}


@pytest.mark.parametrize("recipe", ["jangtq2", "q4q8", "bfloat16"])
def test_rule_7_control_tensors_stay_float32_and_hash_tables_int64(made: Make, recipe: str) -> None:
    found = tensors(made(recipe))
    control = [name for name in found if re.search(r"hc_|attn_sink$|ffn\.gate\.bias$|\.ape$", name)]
    assert len(control) > 30
    assert {found[name][0] for name in control} == {"F32"}
    assert {found[name][0] for name in found if name.endswith("tid2eid")} == {"I64"}


@pytest.mark.parametrize(("recipe", "half"), [("jangtq2", "F16"), ("bfloat16", "BF16"), ("mxfp4", "F16")])
def test_rule_8_one_half_type_but_for_the_norms_of_mxtq(made: Make, recipe: str, half: str) -> None:
    found = tensors(made(recipe))
    assert {d for name, (d, _) in found.items() if d in ("F16", "BF16") and not name.endswith("tq_norms")} == {half}
    assert {d for name, (d, _) in found.items() if name.endswith("tq_norms")} <= {"F16"}
    assert found["layers.0.attn_norm.weight"][0] == found["layers.0.ffn.gate.weight"][0] == half


@pytest.mark.parametrize("recipe", ["jangtq2", "jangtq2-per-expert", "later", "q4q8"])
def test_rule_9_one_set_of_aligned_shards(made: Make, recipe: str) -> None:
    bundle = made(recipe)
    names = sorted(path.name for path in bundle.glob("model*.safetensors"))
    assert names == [f"model-{n:05d}-of-{len(names):05d}.safetensors" for n in range(1, len(names) + 1)]
    view, findings = open_bundle(bundle)
    assert findings == []
    assert [e.name for header in view.shards for e in header.tensors if e.start % ITEM_SIZE[e.dtype]] == []
    assert {path.name for path in bundle.glob("*.safetensors")} - set(names) <= {SIDECAR}


def test_rule_10_modules_that_differ_are_named_twice_and_with_mode(made: Make) -> None:
    top = document(made("two group sizes"), "config.json")["quantization"]
    assert [top[key] for key in ("bits", "group_size", "mode")] == [4, 32, "affine"]
    other = {"bits": 4, "group_size": 64, "mode": "affine"}
    for disk, path in (("layers.3.attn.wq_a", "model.layers.3.self_attn.wq_a"), ("embed", "model.embed"),
                       ("head", "lm_head"), ("layers.0.ffn.shared_experts.w2", "model.layers.0.mlp.shared_experts.down_proj")):  # fmt: skip  # noqa: E501
        assert top[disk] == top[path] == other
    mxtq = document(made("jangtq2"), "config.json")["quantization"]
    assert {key for key, value in mxtq.items() if isinstance(value, dict)} == {"mxtq_bits", "routed_expert_bit_plan"}


@pytest.mark.parametrize("recipe", ["jangtq2", "q4q8", "two group sizes"])
def test_rule_11_jang_config_repeats_the_top_level_width(made: Make, recipe: str) -> None:
    top = document(made(recipe), "config.json")["quantization"]
    jang = document(made(recipe), "jang_config.json")["quantization"]
    assert (jang["bits"], jang["group_size"]) == (top["bits"], top["group_size"])


@pytest.mark.parametrize(("recipe", "formats"), [("jangtq2", ("mxtq", "mxtq")), ("later", ("mxtq", "mxtq")),
                                                 ("q4q8", ("affine", None)), ("mxfp4", ("affine", None))])  # fmt: skip
def test_rule_12_weight_format_tells_mxtq_from_everything_else(made: Make, recipe: str, formats: Any) -> None:
    jang, config = (document(made(recipe), name) for name in ("jang_config.json", "config.json"))
    assert (jang["weight_format"], config.get("weight_format")) == formats
    assert jang["profile"].startswith("JANGTQ") == (formats[0] == "mxtq")


def test_rule_13_the_sidecar_is_there_exactly_with_mxtq(made: Make) -> None:
    names = {"jangtq2": {2}, "jangtq2-k": {2}, "jangtq-hash4": {2, 4}, "later": {2}, "q4q8": set(), "mxfp4": set()}
    for recipe, widths in names.items():
        path = made(recipe) / SIDECAR
        assert path.exists() == bool(widths)
        if widths:
            signs = {f"signs.{n}.42": (n,) for n in (128, 256)}
            books = {f"codebook.{n}.{bits}": (1 << bits,) for n in (128, 256) for bits in widths}
            assert {name: array.shape for name, array in load_file(path).items()} == signs | books
            assert SIDECAR in document(made(recipe), "dsv4recipe.manifest.json")["files"]


def test_rule_14_layers_of_another_width_are_listed(made: Make) -> None:
    for recipe, width, odd in (("jangtq-hash4", 4, {"3": 2}), ("jangtq2", 2, None)):
        jang, config = (document(made(recipe), name) for name in ("jang_config.json", "config.json"))
        assert jang["mxtq_bits"]["routed_expert"] == config["mxtq_bits"]["routed_expert"] == width
        plans = [jang["quantization"]["routed_experts"]["bit_plan"], config["quantization"]["routed_expert_bit_plan"]]
        assert [plan.get("routed_layer_bits") for plan in plans] == [odd, odd]


@pytest.mark.parametrize(("recipe", "stages"), [("jangtq2", 1), ("jangtq2-k", 0)])
def test_rule_15_config_keeps_what_no_runtime_can_guess(
    made: Make, tiny_source: Path, recipe: str, stages: int
) -> None:
    config, source = document(made(recipe), "config.json"), document(tiny_source, "config.json")
    for key in ("rope_scaling", "swiglu_limit", "compress_ratios", "num_hash_layers", "rope_theta"):
        assert config[key] == source[key]
    assert config["num_nextn_predict_layers"] == stages
    assert "quant_method" not in config["quantization_config"]
    assert config["rope_parameters"] == {
        "beta_fast": 32.0, "beta_slow": 1.0, "factor": 16.0, "original_max_position_embeddings": 65536,
        "rope_theta": 10000.0, "rope_type": "yarn",
    }  # fmt: skip


def test_rule_16_encoder_and_stop_tokens(made: Make, tiny_source: Path) -> None:
    encoder = "encoding/encoding_dsv4.py"
    assert (made("jangtq2") / encoder).read_bytes() == (tiny_source / encoder).read_bytes()
    tokens = {t["content"]: t["id"] for t in document(made("jangtq2"), "tokenizer.json")["added_tokens"]}
    wanted = sorted([tokens["<｜end▁of▁sentence｜>"], tokens["<｜User｜>"]])
    for name in ("config.json", "generation_config.json", "tokenizer_config.json"):
        assert document(made("jangtq2"), name)["eos_token_id"] == wanted


def test_rule_17_no_path_of_this_machine(source_copy: Path, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(source_copy)
    bundle = build(make_plan(load_recipe("jangtq2"), checkpoint), checkpoint, tmp_path / "bundle")
    here = str(tmp_path).encode()
    assert [path.name for path in bundle.rglob("*") if path.is_file() and here in path.read_bytes()] == []
