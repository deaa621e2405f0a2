"""Step 3: every tensor against its source; a changed code, scale or plain value is found and named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from dsv4recipe import build, load_recipe, make_plan, open_checkpoint, verify
from dsv4recipe.bundle.view import open_bundle
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.checkpoint.synth import synthesize
from dsv4recipe.plan.canonical import load_plan
from dsv4recipe.verifier.numbers import Numbers, check_numbers


def numbers(bundle: Path, checkpoint: Checkpoint) -> Numbers:
    plan = load_plan((bundle / "dsv4recipe.plan.json").read_text(), "plan")
    return check_numbers(bundle, plan, checkpoint)


def test_errors_are_those_of_the_formats(q4q8_bundle: Path, tiny: Checkpoint) -> None:
    found = numbers(q4q8_bundle, tiny)
    assert found.step.findings == ()
    by_role = {(row["role"], row["format"]): row["rel_rmse"] for row in found.by_role()}
    assert 0.08 < by_role["routed-expert", "affine 4-bit g32"] < 0.09
    assert 0.004 < by_role["attention", "affine 8-bit g32"] < 0.006
    assert by_role["hyper-connection", "F32"] == by_role["hash-table", "I64"] == 0
    assert sum(row.weights for row in found.rows) == 6_813_116


def test_the_error_is_that_of_mlxs_decoder(q4q8_bundle: Path, tiny: Checkpoint) -> None:
    """The figure for one module, computed a second way: mlx's decoder and float64 sums of numpy."""
    import mlx.core as mx

    from tests.builder.test_build import decoded

    stem, name = "layers.1.attn.wq_a", "model.layers.1.self_attn.wq_a"
    tensors = load_file(q4q8_bundle / "model-00001-of-00001.safetensors")
    parts = (mx.array(tensors[stem + suffix]) for suffix in (".weight", ".scales", ".biases"))
    words, scales, biases = parts
    wide = mx.dequantize(words, scales.astype(mx.float32), biases.astype(mx.float32), group_size=32, bits=8)
    exact = decoded(tiny, next(t for t in tiny.tensors if t.name == stem + ".weight")).astype(np.float64)
    expected = np.sqrt(((np.array(wide) - exact) ** 2).sum() / (exact**2).sum())
    row = next(row for row in numbers(q4q8_bundle, tiny).rows if row.module.path == name)
    assert row.rel_rmse == pytest.approx(expected, rel=1e-6)


def test_a_native_bundle_is_exact_in_every_tensor(tiny: Checkpoint, tmp_path: Path) -> None:
    out = build(make_plan(load_recipe("native"), tiny), tiny, tmp_path / "native")
    found = numbers(out, tiny)
    assert found.step.findings == ()
    assert all(row.module.lossless for row in found.rows)
    assert {row.rel_rmse for row in found.rows} == {0.0}


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("layers.1.mlp.switch_mlp.down_proj.weight", {"V303"}),
        ("layers.2.attn.wkv.scales", {"V303", "V304"}),
        ("layers.2.hc_attn_fn", {"V303", "V302"}),
        ("layers.0.ffn.gate.tid2eid", {"V303", "V302"}),
    ],
)
def test_a_changed_tensor_is_named(spoiled: Path, tiny: Checkpoint, name: str, codes: set[str]) -> None:
    view, _ = open_bundle(spoiled)
    entry = next(e for header in view.shards for e in header.tensors if e.name == name)
    with (spoiled / view.shards[0].file).open("r+b") as file:
        file.seek(entry.start + 1)
        byte = file.read(1)[0]
        file.seek(entry.start + 1)
        file.write(bytes([byte ^ 0x18]))
    found = numbers(spoiled, tiny).step.findings
    assert {finding.code for finding in found} == codes
    assert len({finding.where.subject for finding in found}) == 1


def test_another_source_is_refused(q4q8_bundle: Path, tmp_path: Path) -> None:
    synthesize(tmp_path / "other", layers=3)
    found = numbers(q4q8_bundle, open_checkpoint(tmp_path / "other"))
    assert [finding.code for finding in found.step.findings] == ["V300"]


def test_verify_has_a_row_for_every_module(q4q8_bundle: Path, tiny_source: Path) -> None:
    found = verify(q4q8_bundle, tiny_source)
    assert [step.name for step in found.steps] == ["integrity", "contract", "numbers"]
    assert found.ok
    assert len(json.loads(json.dumps(found.data()))["numbers"]) == 148


def test_the_same_source_with_other_weights_is_found(q4q8_bundle: Path, tmp_path: Path) -> None:
    """Headers alike, another seed: only the numbers can tell."""
    synthesize(tmp_path / "other", seed=1)
    found = numbers(q4q8_bundle, open_checkpoint(tmp_path / "other"))
    assert not found.step.ok
    assert {finding.code for finding in found.step.findings} >= {"V303"}
