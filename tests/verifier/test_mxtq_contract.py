"""The contract over MXTQ bundles: none of the six vMLX recipes has a finding, and each way to spoil one is named."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from dsv4recipe import build, load_recipe, make_plan
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.recipe.load import parse_recipe
from dsv4recipe.targets import get
from dsv4recipe.verifier.contract import check_contract
from dsv4recipe.verifier.integrity import check_integrity
from tests.recipes import changed

RECIPES = ("jangtq2", "jangtq2-per-expert", "jangtq2-k", "jangtq-hash4", "q4q8", "q4q8-per-expert")
SHARD = "model-00001-of-00001.safetensors"
SIDECAR = "jangtq_runtime.safetensors"
STACK = "layers.1.mlp.switch_mlp.gate_proj"
SINGLE = "layers.1.ffn.experts.3.w1"
TWO_GROUP_SIZES = changed("format: {affine: {bits: 8, group-size: 32}}", "format: {affine: {bits: 4, group-size: 64}}")

Tensors = dict[str, np.ndarray]
Spoil = Callable[[Path], None]


@pytest.fixture(scope="module")
def sound(tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("contract")
    recipes = {name: load_recipe(name) for name in RECIPES}
    recipes["two-group-sizes"] = parse_recipe(TWO_GROUP_SIZES, "recipe.yaml")
    return {name: build(make_plan(recipe, tiny), tiny, root / name) for name, recipe in recipes.items()}


def findings(bundle: Path) -> list[tuple[str, str, str]]:
    return [(f.code, f.severity, f.message) for f in check_contract(bundle, get("vmlx")).findings]


def edit(bundle: Path, name: str, change: Callable[[dict[str, Any]], object]) -> None:
    data = json.loads((bundle / name).read_text())
    change(data)
    (bundle / name).write_text(json.dumps(data))


def retensor(change: Callable[[Tensors], object], file: str = SHARD) -> Spoil:
    """Rewrites one file, and the index if it is a shard, with changed tensors."""

    def spoil(bundle: Path) -> None:
        tensors = load_file(bundle / file)
        change(tensors)
        save_file(tensors, bundle / file, {"format": "mlx"})
        if file == SHARD:
            index = dict.fromkeys(tensors, SHARD)
            edit(bundle, "model.safetensors.index.json", lambda data: data.update(weight_map=index))

    return spoil


def rename(tensors: Tensors, old: str, new: str) -> None:
    tensors.update({name.replace(old, new): tensors.pop(name) for name in list(tensors) if old in name})


def recast(tensors: Tensors, name: str, dtype: type) -> None:
    tensors[name] = tensors[name].astype(dtype)


def jang(change: Callable[[dict[str, Any]], object]) -> Spoil:
    return lambda bundle: edit(bundle, "jang_config.json", change)


def config(change: Callable[[dict[str, Any]], object]) -> Spoil:
    return lambda bundle: edit(bundle, "config.json", change)


def both(change: Callable[[dict[str, Any]], object]) -> Spoil:
    def spoil(bundle: Path) -> None:
        edit(bundle, "config.json", change)
        edit(bundle, "jang_config.json", change)

    return spoil


def forget_layers(data: dict[str, Any]) -> None:
    data.get("routed_expert_bit_plan", {}).pop("routed_layer_bits", None)
    data["quantization"].get("routed_expert_bit_plan", {}).pop("routed_layer_bits", None)
    data["quantization"].get("routed_experts", {}).get("bit_plan", {}).pop("routed_layer_bits", None)


def two_shards_without_stack_in_the_first(bundle: Path) -> None:
    tensors = load_file(bundle / SHARD)
    names = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    place = {name: names[".switch_mlp." in name] for name in tensors}
    (bundle / SHARD).unlink()
    for file in names:
        save_file({n: a for n, a in tensors.items() if place[n] == file}, bundle / file, {"format": "mlx"})
    edit(bundle, "model.safetensors.index.json", lambda index: index.update(weight_map=place))


def drop_stems(data: dict[str, Any]) -> None:
    for section in (data["quantization"], data["quantization_config"]):
        for key in [key for key in section if key.startswith(("layers.", "mtp.")) or key in ("embed", "head")]:
            del section[key]


MUTANTS: dict[str, tuple[str, Spoil, str, str]] = {
    "sidecar missing": ("jangtq2", lambda b: (b / SIDECAR).unlink(), "V129", "jangtq_runtime.safetensors is missing"),
    "sidecar without MXTQ": (
        "q4q8", lambda b: save_file({"signs.2.42": np.ones(2, np.float32)}, b / SIDECAR), "V129", "without MXTQ",
    ),
    "sidecar key missing": (
        "jangtq2", retensor(lambda t: t.pop("signs.128.42"), SIDECAR), "V136", "has no signs.128.42",
    ),
    "sidecar lacks the second width": (
        "jangtq-hash4", retensor(lambda t: t.pop("codebook.256.4"), SIDECAR), "V136", "has no codebook.256.4",
    ),
    "sidecar of another seed": (
        "jangtq2", retensor(lambda t: rename(t, ".42", ".43"), SIDECAR), "V136", "has no signs.256.42",
    ),
    "one sign flipped": (
        "jangtq2", retensor(lambda t: t["signs.256.42"].__setitem__(7, -t["signs.256.42"][7]), SIDECAR),
        "V136", "signs.256.42 holds other values",
    ),
    "codebook nudged by one bit": (
        "jangtq2", retensor(lambda t: t["codebook.128.2"].view(np.int32).__setitem__(0, t["codebook.128.2"].view(
            np.int32)[0] + 1), SIDECAR), "V136", "codebook.128.2 holds other values",
    ),
    "sidecar in half precision": (
        "jangtq2", retensor(lambda t: recast(t, "codebook.128.2", np.float16), SIDECAR), "V136", "2 is F16",
    ),
    "sidecar cut short": (
        "jangtq2", lambda b: os.truncate(b / SIDECAR, 1000), "V136", "jangtq_runtime.safetensors cannot be read",
    ),
    "tq_bits wrong": (
        "jangtq2", retensor(lambda t: t[f"{STACK}.tq_bits"].fill(4)), "V137",
        f"{STACK}.tq_bits says 4, the packed columns hold 2 bits",
    ),
    "tq_bits wrong on one expert": (
        "jangtq2-per-expert", retensor(lambda t: t[f"{SINGLE}.tq_bits"].fill(4)), "V137", f"{SINGLE}.tq_bits says 4",
    ),
    "tq_bits missing": (
        "jangtq2", retensor(lambda t: t.pop(f"{STACK}.tq_bits")), "V137", f"{STACK}.tq_bits is missing",
    ),
    "tq_bits of a stack as I32": (
        "jangtq2", retensor(lambda t: recast(t, f"{STACK}.tq_bits", np.int32)), "V137", "tq_bits is I32",
    ),
    "tq_bits of an expert as U8": (
        "jangtq2-per-expert", retensor(lambda t: recast(t, f"{SINGLE}.tq_bits", np.uint8)), "V137",
        f"{SINGLE}.tq_bits is U8, MXTQ stores it as I32",
    ),
    "norms in float32": (
        "jangtq2", retensor(lambda t: recast(t, f"{STACK}.tq_norms", np.float32)), "V137", "tq_norms is F32",
    ),
    "norms missing": ("jangtq2", retensor(lambda t: t.pop(f"{STACK}.tq_norms")), "V102", ".tq_norms is missing"),
    "half the columns": (
        "jangtq2", retensor(lambda t: t.update({f"{STACK}.tq_packed": t[f"{STACK}.tq_packed"][..., ::2].copy()})),
        "V137", f"{STACK}.tq_packed: [8, 128, 8] words hold neither 2 nor 4 bits for each of 256 inputs",
    ),
    "no stack in the first shard": (
        "jangtq2", two_shards_without_stack_in_the_first, "V110", "holds no prestacked MXTQ expert",
    ),
    "ffn.switch_mlp": (
        "jangtq2", retensor(lambda t: rename(t, "mlp.switch_mlp", "ffn.switch_mlp")), "V101",
        "layers.0.ffn.switch_mlp.gate_proj: no module of vmlx takes this tensor",
    ),
    "experts.switch_mlp, as the card has it": (
        "jangtq2", retensor(lambda t: rename(t, "mlp.switch_mlp", "ffn.experts.switch_mlp")), "V102",
        "model.layers.0.mlp.switch_mlp.gate_proj: not in the bundle",
    ),
    "weight_format of the converter": (
        "jangtq2", jang(lambda d: d.update(weight_format="mxfp4_mixed")), "V128", "weight_format is 'mxfp4_mixed'",
    ),
    "weight_format gone": ("jangtq2", config(lambda d: d.pop("weight_format")), "V128", "weight_format is None"),
    "routed_layer_bits gone": (
        "jangtq-hash4", both(forget_layers), "V138", "layer 3: its experts have 2 bits, routed_layer_bits leaves",
    ),
    "routed_layer_bits wrong": (
        "jangtq-hash4",
        jang(lambda d: d["quantization"]["routed_experts"]["bit_plan"].update(routed_layer_bits={"3": 4})),
        "V138", "layer 3: its experts have 2 bits, routed_layer_bits says 4",
    ),
    "routed_layer_bits of no layer": (
        "jangtq-hash4",
        jang(lambda d: d["quantization"]["routed_experts"]["bit_plan"].update(routed_layer_bits={"3": 2, "9": 2})),
        "V138", "routed_layer_bits names layer 9",
    ),
    "default width wrong": (
        "jangtq2", both(lambda d: d["mxtq_bits"].update(routed_expert=4)), "V138", "leaves it at 4",
    ),
    "seeds differ": (
        "jangtq2", jang(lambda d: d.update(mxtq_seed=43)), "V139", "mxtq_seed 43, config.json 42",
    ),
    "seed of another bundle": ("jangtq2", both(lambda d: d.update(mxtq_seed=7)), "V136", "has no signs.256.7"),
    "seed as text": ("jangtq2", both(lambda d: d.update(mxtq_seed="42")), "V139", "mxtq_seed is '42'"),
    "swiglu without its clamp": (
        "jangtq2", config(lambda d: d.update(swiglu_limit=7.0)), "V130", "vMLX refuses MXTQ experts at anything",
    ),
    "jang_config bits": (
        "jangtq2", jang(lambda d: d["quantization"].update(bits=4)), "V127", "bits is 4, config.json says 8",
    ),
    "stop at another token": (
        "jangtq2", config(lambda d: d.update(eos_token_id=[1, 4])), "V126", "lacks 3, the tokenizer's <｜User｜>",
    ),
    "per-expert entries by path alone": (
        "q4q8-per-expert", config(drop_stems), "V140", "no entry under the name on disk",
    ),
    "two group sizes by path alone": (
        "two-group-sizes", config(drop_stems), "V140", "layers.0.attn.wq_a: no entry under the name on disk",
    ),
}  # fmt: skip


def spoiled(sound: dict[str, Path], name: str, tmp_path: Path) -> Path:
    recipe, spoil, _, _ = MUTANTS[name]
    bundle = Path(shutil.copytree(sound[recipe], tmp_path / "bundle"))
    spoil(bundle)
    return bundle


@pytest.mark.parametrize("recipe", [*RECIPES, "two-group-sizes"])
def test_a_sound_bundle_has_no_finding(sound: dict[str, Path], recipe: str) -> None:
    assert findings(sound[recipe]) == []
    assert check_integrity(sound[recipe]).findings == ()


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_found_and_named(sound: dict[str, Path], tmp_path: Path, name: str) -> None:
    _, _, code, words = MUTANTS[name]
    bundle = spoiled(sound, name, tmp_path)
    found = findings(bundle)
    assert [m for c, severity, m in found if c == code and severity == "error" and words in m], found
    assert not check_integrity(bundle).ok


def test_prestacked_entries_by_path_alone_are_a_warning(sound: dict[str, Path], tmp_path: Path) -> None:
    """vMLX has no alias for prestacked names, so that their entries under the module path survive its guess."""
    bundle = Path(shutil.copytree(sound["q4q8"], tmp_path / "bundle"))
    config(drop_stems)(bundle)
    assert {(code, severity) for code, severity, _ in findings(bundle)} == {("V140", "warning")}


@pytest.mark.parametrize("path", ["/Users/somebody/source", "~/source", "C:\\source", "D:/source"])
def test_a_path_of_the_builders_machine_is_told(sound: dict[str, Path], tmp_path: Path, path: str) -> None:
    bundle = Path(shutil.copytree(sound["jangtq2"], tmp_path / "bundle"))
    jang(lambda data: data.update(source_model=path))(bundle)
    edit(bundle, "model.safetensors.index.json", lambda index: index["metadata"].update(rebundled_from=path))
    found = [(code, severity, message.split(" is ")[0]) for code, severity, message in findings(bundle)]
    assert found == [
        ("V141", "warning", "jang_config.json: source_model"),
        ("V141", "warning", "model.safetensors.index.json: rebundled_from"),
    ]


def test_a_bundle_as_the_converter_writes_it_has_warnings_alone(sound: dict[str, Path], tmp_path: Path) -> None:
    """No twin section, no group size in jang_config.json: both do no harm, since jang's loader reads MXTQ bundles."""
    bundle = Path(shutil.copytree(sound["jangtq2"], tmp_path / "bundle"))
    config(lambda data: data.pop("quantization_config"))(bundle)
    jang(lambda data: [data["quantization"].pop(key) for key in ("bits", "group_size")])(bundle)
    assert {(code, severity) for code, severity, _ in findings(bundle)} == {("V121", "warning"), ("V127", "warning")}


def test_two_widths_in_a_layer_are_a_warning(tiny: Checkpoint, tmp_path: Path) -> None:
    rule = "rules:\n  - id: down\n    match: {role: routed-expert, projection: down}\n    format: {mxtq: {bits: 4}}\n"
    text = changed("format: {affine: {bits: 4, group-size: 32}}", "format: {mxtq: {bits: 2}}")
    recipe = parse_recipe(changed("rules:\n", rule, text), "recipe.yaml")
    found = findings(build(make_plan(recipe, tiny), tiny, tmp_path / "bundle"))
    assert [(code, severity) for code, severity, _ in found] == [("V138", "warning")] * 4
    assert found[0][2] == "layer 0: MXTQ projections of 2 and 4 bits in one layer"
