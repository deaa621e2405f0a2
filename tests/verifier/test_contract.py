"""Integrity and contract: a sound bundle has no findings; each way to spoil one is found and named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from dsv4recipe import build, load_recipe, make_plan, verify
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.targets import get
from dsv4recipe.verifier.contract import check_contract
from dsv4recipe.verifier.integrity import check_integrity

SHARD = "model-00001-of-00001.safetensors"


def findings(bundle: Path) -> list[tuple[str, str]]:
    return [(f.code, f.message) for f in check_contract(bundle, get("vmlx")).findings]


def edit(bundle: Path, name: str, change: Callable[[dict[str, Any]], None]) -> None:
    data = json.loads((bundle / name).read_text())
    change(data)
    (bundle / name).write_text(json.dumps(data))


def both(change: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
    """The same change to `quantization` and its twin."""

    def apply(config: dict[str, Any]) -> None:
        change(config["quantization"])
        change(config["quantization_config"])

    return apply


def retensor(bundle: Path, change: Callable[[dict[str, np.ndarray]], None]) -> None:
    """Rewrites the shard and the index with changed tensors."""
    tensors = load_file(bundle / SHARD)
    change(tensors)
    save_file(tensors, bundle / SHARD, {"format": "mlx"})
    edit(bundle, "model.safetensors.index.json", lambda index: index.update(weight_map=dict.fromkeys(tensors, SHARD)))


@pytest.mark.parametrize("recipe", ["q4q8", "q4q8-per-expert"])
def test_a_sound_bundle_has_no_findings(tiny: Checkpoint, tmp_path: Path, recipe: str) -> None:
    out = build(make_plan(load_recipe(recipe), tiny), tiny, tmp_path / recipe)
    integrity, contract = check_integrity(out), check_contract(out, get("vmlx"))
    assert integrity.ok
    assert integrity.findings == ()
    assert contract.ok
    assert contract.findings == ()
    assert "67 of them quantized" in contract.facts[0]


ENTRY = {"bits": 4, "group_size": 32, "mode": "affine"}
GATE = "model.layers.1.mlp.switch_mlp.gate_proj"

CONFIGS: dict[str, tuple[Callable[[dict[str, Any]], None], str, str]] = {
    "disk-keyed override": (
        both(lambda q: q.update({"layers.1.ffn.experts.3.w1": ENTRY})),
        "V123",
        "override 'layers.1.ffn.experts.3.w1' hits no quantized module",
    ),
    "disk-keyed override with a prefix": (
        both(lambda q: q.update({"model.layers.1.ffn.experts.3.w1": ENTRY})),
        "V123",
        "override 'model.layers.1.ffn.experts.3.w1' hits no quantized module",
    ),
    "path override missing": (both(lambda q: q.pop(GATE)), "V124", f"{GATE} would be wrapped by the global entry"),
    "wrong bits": (
        both(lambda q: q.update({GATE: ENTRY | {"bits": 2}})),
        "V124",
        f"{GATE} would be wrapped by its entry",
    ),
    "wrong group size": (both(lambda q: q.update({GATE: ENTRY | {"group_size": 64}})), "V124", GATE),
    "mode lost": (both(lambda q: q.update({GATE: {"bits": 4, "group_size": 32}})), "V122", GATE),
    "wrong mode": (both(lambda q: q.update({GATE: ENTRY | {"mode": "mxfp4"}})), "V124", "mode 'mxfp4'"),
    "bits of None": (both(lambda q: q.update({GATE: ENTRY | {"bits": None}})), "V122", GATE),
    "twins differ": (lambda c: c["quantization_config"].update(bits=4), "V121", "differ"),
    "source section left": (lambda c: c.update(quantization_config={"quant_method": "fp8"}), "V121", "fp8"),
    "no section": (lambda c: c.pop("quantization"), "V120", "no `quantization`"),
    "one stop token": (lambda c: c.update(eos_token_id=1), "V126", "eos_token_id is 1"),
    "rope lost": (lambda c: c.update(rope_scaling=None), "V130", "rope_scaling"),
    "claims mxtq": (lambda c: c.update(weight_format="mxtq"), "V128", "weight_format is 'mxtq'"),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_spoiled_config_is_named(spoiled: Path, name: str) -> None:
    change, code, words = CONFIGS[name]
    edit(spoiled, "config.json", change)
    found = [(c, m) for c, m in findings(spoiled) if c == code and words in m]
    assert len(found) >= 1, findings(spoiled)
    assert not check_integrity(spoiled).ok


TENSORS: dict[str, tuple[Callable[[dict[str, np.ndarray]], None], str, str]] = {
    "model. prefix": (
        lambda t: t.update(
            {f"model.{name}": t.pop(name) for name in [n for n in t if n.startswith("layers.2.attn.wq_a")]}
        ),
        "V101",
        "model.layers.2.attn.wq_a: no module of vmlx takes this tensor",
    ),
    "tensor missing": (lambda t: t.pop("layers.2.attn.attn_sink"), "V102", "model.layers.2.self_attn.attn_sink"),
    "biases missing": (lambda t: t.pop("layers.2.attn.wkv.biases"), "V102", "layers.2.attn.wkv: .biases is missing"),
    "control in half": (
        lambda t: t.update({"layers.1.hc_attn_fn": t["layers.1.hc_attn_fn"].astype(np.float16)}),
        "V107",
        "layers.1.hc_attn_fn is F16",
    ),
    "hash table in float": (
        lambda t: t.update({"layers.0.ffn.gate.tid2eid": t["layers.0.ffn.gate.tid2eid"].astype(np.float32)}),
        "V107",
        "a hash table must hold integers",
    ),
    "experts missing": (
        lambda t: t.update({n: t[n][:7] for n in t if n.startswith("layers.1.mlp.switch_mlp.up_proj")}),
        "V106",
        "layers.1.mlp.switch_mlp.up_proj.weight: shape [7, 128, 32]",
    ),
    "gate and up differ": (
        lambda t: t.update({n: t[n][..., ::2] for n in t if n.startswith("layers.1.mlp.switch_mlp.up_proj.weight")}),
        "V125",
        "layer 1: gate and up",
    ),
    "mtp gone but announced": (
        lambda t: [t.pop(n) for n in list(t) if n.startswith("mtp.")],
        "V103",
        "announces 1 MTP layer(s), the bundle holds none",
    ),
}


@pytest.mark.parametrize("name", TENSORS)
def test_spoiled_tensors_are_named(spoiled: Path, name: str) -> None:
    change, code, words = TENSORS[name]
    retensor(spoiled, change)
    assert [m for c, m in findings(spoiled) if c == code and words in m], findings(spoiled)


def test_a_stale_shard_of_another_build_is_named(spoiled: Path) -> None:
    shutil.copyfile(spoiled / SHARD, spoiled / "model-00001-of-00002.safetensors")
    codes = {code for code, _ in findings(spoiled)}
    assert {"V021", "V024"} <= codes
    assert [f.code for f in check_integrity(spoiled).findings] == ["V013"]


def test_a_missing_companion_is_named(spoiled: Path) -> None:
    (spoiled / "jang_config.json").unlink()
    (spoiled / "encoding" / "encoding_dsv4.py").unlink()
    assert [code for code, _ in findings(spoiled)] == ["V127", "V131"]
    assert [f.code for f in check_integrity(spoiled).findings] == ["V010", "V010"]


def test_a_group_size_that_vmlx_would_guess_is_named(spoiled: Path) -> None:
    edit(spoiled, "jang_config.json", lambda jang: jang["quantization"].pop("group_size"))
    assert [(c, "vMLX assumes 64" in m) for c, m in findings(spoiled)] == [("V127", True)]


@pytest.mark.parametrize("place", [0, 9, 20_000, -1])
def test_a_flipped_bit_is_found(spoiled: Path, place: int) -> None:
    data = bytearray((spoiled / SHARD).read_bytes())
    data[place] ^= 0x10
    (spoiled / SHARD).write_bytes(data)
    assert [f.code for f in check_integrity(spoiled).findings] == ["V012"]


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\0"])
def test_a_file_of_another_length_is_found(spoiled: Path, change: Callable[[bytes], bytes]) -> None:
    (spoiled / SHARD).write_bytes(change((spoiled / SHARD).read_bytes()))
    assert [f.code for f in check_integrity(spoiled).findings] == ["V011"]


def test_a_zeroed_tail_is_found(spoiled: Path) -> None:
    size = (spoiled / SHARD).stat().st_size
    with (spoiled / SHARD).open("r+b") as file:
        file.truncate(size // 2)
        file.truncate(size)
    assert [f.code for f in check_integrity(spoiled).findings] == ["V012"]


@pytest.mark.parametrize("recipe", ["native", "q3-mixed", "q4q8"])
def test_a_bundle_without_a_manifest_is_held_against_the_runtime_whose_names_it_has(
    tiny: Checkpoint, tmp_path: Path, recipe: str
) -> None:
    plan = make_plan(load_recipe(recipe), tiny)
    out = build(plan, tiny, tmp_path / recipe)
    (out / "dsv4recipe.manifest.json").unlink()
    found = verify(out)
    assert found.ok
    assert [finding.code for step in found.steps for finding in step.findings if finding.severity == "error"] == []
    assert "manifest" in found.steps[0].findings[0].message
