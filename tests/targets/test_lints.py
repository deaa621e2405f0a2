"""The contract of the stock MLX runtimes: sound bundles have no findings, each lint of a spoiled one is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from dsv4recipe import build, make_plan
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.runtimes import get, targets
from dsv4recipe.verifier.contract.check import MORE_LAWS, check_contract
from tests.targets.bundles import moved

SHARD = "model-00001-of-00001.safetensors"
RUNTIMES = [("native", "mlx-vlm"), ("native", "rapid-mlx"), ("native", "omlx"), ("q3-mixed", "mlx-lm-fork"),
            ("q3-mixed", "omlx"), ("universal", "universal")]  # fmt: skip


@pytest.fixture(scope="module")
def bundles(tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    """Finished bundles by recipe and runtime. Tests must not write into them."""
    root = tmp_path_factory.mktemp("mlx")
    return {pair: build(make_plan(moved(*pair), tiny), tiny, root / "-".join(pair)) for pair in RUNTIMES}


def findings(bundle: Path, runtime: str) -> list[tuple[str, str, str]]:
    return [(f.code, f.severity, f.message) for f in check_contract(bundle, get(runtime, "deepseek_v4")).findings]


def edit(bundle: Path, name: str, change: Callable[[dict[str, Any]], Any]) -> None:
    data = json.loads((bundle / name).read_text())
    change(data)
    (bundle / name).write_text(json.dumps(data))


def configure(bundle: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """The same change to `quantization` and its twin."""
    edit(bundle, "config.json", lambda config: (change(config["quantization"]), change(config["quantization_config"])))


def retensor(bundle: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    tensors = mx.load(str(bundle / SHARD))
    change(tensors)
    mx.save_safetensors(str(bundle / "new.safetensors"), tensors, {"format": "mlx"})
    (bundle / "new.safetensors").replace(bundle / SHARD)
    edit(bundle, "model.safetensors.index.json", lambda index: index.update(weight_map=dict.fromkeys(tensors, SHARD)))


@pytest.fixture
def copy(bundles: dict[tuple[str, str], Path], tmp_path: Path) -> Callable[[str, str], Path]:
    return lambda recipe, runtime: Path(shutil.copytree(bundles[recipe, runtime], tmp_path / "bundle"))


def test_every_law_that_a_target_names_exists() -> None:
    assert {law for target in targets() for law in target.laws} == set(MORE_LAWS)


@pytest.mark.parametrize("pair", RUNTIMES)
def test_a_sound_bundle_has_no_findings(bundles: dict[tuple[str, str], Path], pair: tuple[str, str]) -> None:
    assert findings(bundles[pair], pair[1]) == []


def test_a_bundle_of_another_runtime_is_told_apart(bundles: dict[tuple[str, str], Path]) -> None:
    """Post-sanitize names are foreign to vMLX; the branch calls its hyper-connections otherwise (lint 11)."""
    codes = {code for code, *_ in findings(bundles["native", "mlx-vlm"], "vmlx")}
    assert {"V101", "V102", "V127"} <= codes
    foreign = findings(bundles["q3-mixed", "omlx"], "mlx-lm-fork")
    assert any(message.startswith("model.layers.0.attn_hc.fn: no module of mlx-lm-fork") for *_, message in foreign)
    assert findings(bundles["native", "mlx-vlm"], "omlx") == []


def test_what_to_do_about_a_foreign_name_shows_a_native_one(bundles: dict[tuple[str, str], Path]) -> None:
    found = check_contract(bundles["universal", "universal"], get("omlx", "deepseek_v4")).findings
    hints = {finding.hint for finding in found if finding.code == "V101"} - {""}
    assert hints == {"omlx expects names for this model's config.json such as model.layers.0.attn.wq_a"}


def test_a_rows_axis_may_be_split_or_not(copy: Callable[[str, str], Path]) -> None:
    bundle = copy("native", "mlx-vlm")
    name = "model.layers.1.attn.wo_a.weight"
    retensor(bundle, lambda t: t.update({name: t[name].reshape(-1, t[name].shape[-1])}))
    assert findings(bundle, "mlx-vlm") == []
    retensor(bundle, lambda t: t.update({name: t[name].reshape(4, -1, t[name].shape[-1])}))
    assert [code for code, *_ in findings(bundle, "mlx-vlm")] == ["V106"]


def test_float16_where_the_runtime_refuses_it(tiny: Checkpoint, tmp_path: Path) -> None:
    from dataclasses import replace

    recipe = moved("native", "mlx-vlm")
    recipe = replace(recipe, target=replace(recipe.target, half="float16"))
    bundle = build(make_plan(recipe, tiny), tiny, tmp_path / "bundle")
    assert findings(bundle, "mlx-vlm") == []
    ((code, severity, message),) = findings(bundle, "omlx")
    assert (code, severity) == ("V132", "error")
    assert message.endswith("omlx refuses float16 for this model")


WKV = "layers.2.attn.wkv"
CONFIGS: dict[str, tuple[Callable[[dict[str, Any]], Any], list[tuple[str, str]]]] = {
    "no key of its own": (
        lambda q: [q.pop(f"{prefix}layers.2.ffn.switch_mlp.up_proj") for prefix in ("language_model.model.", "model.")],
        [("V124", "error")],
    ),
    "an alias is enough": (lambda q: q.pop(f"language_model.model.{WKV}"), []),
    "a key of another dialect": (
        lambda q: q.update({"model.layers.2.self_attn.wkv": q[f"model.{WKV}"]}),
        [],
    ),
    "a key of no dialect": (
        lambda q: q.update({"model.layers.2.attention.wkv": q[f"model.{WKV}"]}),
        [("V123", "error")],
    ),
    "mode lost": (lambda q: q[f"language_model.model.{WKV}"].pop("mode"), [("V122", "error"), ("V124", "error")]),
    "smaller groups than the global": (
        lambda q: q.update(group_size=64, mode="affine"),
        [("V134", "warning")] * 13,
    ),
    "a width of some versions": (lambda q: q.update(bits=1, mode="affine"), [("V133", "error")]),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_an_odd_config_is_named(copy: Callable[[str, str], Path], name: str) -> None:
    change, expected = CONFIGS[name]
    bundle = copy("native", "mlx-vlm")
    configure(bundle, change)
    assert [(code, severity) for code, severity, _ in findings(bundle, "mlx-vlm")] == expected


def test_gate_and_up_apart_only_cost_rapid_mlx_its_fused_path(copy: Callable[[str, str], Path]) -> None:
    def eight(q: dict[str, Any]) -> None:
        q["model.layers.1.ffn.switch_mlp.up_proj"] = {"bits": 6, "group_size": 128, "mode": "affine"}

    bundle = copy("q3-mixed", "omlx")
    name = "model.layers.1.ffn.switch_mlp.up_proj"
    retensor(bundle, lambda t: t.update({f"{name}.weight": mx.repeat(t[f"{name}.weight"], 2, -1)}))
    configure(bundle, eight)
    assert findings(bundle, "omlx") == []
    ((code, severity, message),) = findings(bundle, "rapid-mlx")
    assert (code, severity) == ("V125", "warning")
    assert "layer 1: gate and up" in message


def test_a_stray_file_that_loaders_would_merge(copy: Callable[[str, str], Path]) -> None:
    bundle = copy("native", "omlx")
    shutil.copyfile(bundle / SHARD, bundle / "model-old.safetensors")
    ((code, _, message),) = findings(bundle, "omlx")
    assert code == "V135"
    assert message.startswith("model-old.safetensors is not a shard of this bundle")


def test_mtp_announced_but_absent(copy: Callable[[str, str], Path]) -> None:
    bundle = copy("native", "rapid-mlx")
    edit(bundle, "config.json", lambda config: config.update(num_nextn_predict_layers=1))
    assert [code for code, *_ in findings(bundle, "rapid-mlx")] == ["V103"]


def test_a_position_bias_may_be_half_but_not_where_vmlx_loads_it(
    bundles: dict[tuple[str, str], Path], copy: Callable[[str, str], Path]
) -> None:
    name = "layers.2.attn.compressor.ape"
    branch = mx.load(str(bundles["q3-mixed", "mlx-lm-fork"] / SHARD))
    assert branch["model." + name].dtype == mx.bfloat16
    bundle = copy("universal", "universal")
    retensor(bundle, lambda t: t.update({name: t[name].astype(mx.bfloat16)}))
    found = [(code, message) for code, _, message in findings(bundle, "universal") if code != "V109"]  # mlx's writer
    assert found == [("V107", f"{name} is BF16, but universal needs control tensors in F32")]


def test_universal_brings_what_vmlx_asks_for(copy: Callable[[str, str], Path]) -> None:
    bundle = copy("universal", "universal")
    (bundle / "jang_config.json").unlink()
    (bundle / "encoding" / "encoding_dsv4.py").unlink()
    assert [code for code, *_ in findings(bundle, "universal")] == ["V127", "V131"]
    assert findings(bundle, "mlx-vlm") != []
