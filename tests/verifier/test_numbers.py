"""Step 3: every tensor against its source; a changed code, scale or plain value is found and named."""

from __future__ import annotations

import json
import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from dsv4recipe import build, load_recipe, make_plan, open_checkpoint, verify
from dsv4recipe.bundle.open import open_bundle
from dsv4recipe.bundle.read import read_bundle
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.checkpoint.synth import synthesize
from dsv4recipe.verifier.numbers.check import Numbers, check_numbers


def numbers(bundle: Path, checkpoint: Checkpoint, **how: int) -> Numbers:
    return check_numbers(open_bundle(bundle)[0], read_bundle(bundle), checkpoint, **how)


def test_errors_are_those_of_the_formats(q4q8_bundle: Path, tiny: Checkpoint) -> None:
    found = numbers(q4q8_bundle, tiny)
    assert found.step.findings == ()
    by_role = {(row["role"], row["format"]): row["rel_rmse"] for row in found.by_role()}
    assert 0.08 < by_role["routed-expert", "affine 4-bit g32"] < 0.09
    assert 0.004 < by_role["attention", "affine 8-bit g32"] < 0.006
    assert by_role["hyper-connection", "F32"] == by_role["hash-table", "I64"] == 0
    assert sum(row.whole.weights for row in found.rows) == 6_813_116


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
    assert row.whole.rel_rmse == pytest.approx(expected, rel=1e-6)


def test_a_native_bundle_is_exact_in_every_tensor(tiny: Checkpoint, tmp_path: Path) -> None:
    out = build(make_plan(load_recipe("native"), tiny), tiny, tmp_path / "native")
    found = numbers(out, tiny)
    assert found.step.findings == ()
    assert all(row.module.lossless for row in found.rows)
    assert {row.whole.rel_rmse for row in found.rows} == {0.0}


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("layers.1.mlp.switch_mlp.down_proj.weight", {"V303"}),
        ("layers.2.attn.wkv.scales", {"V303", "V307"}),
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


def test_a_sample_is_what_its_seed_draws_and_says_that_it_is_one(q4q8_bundle: Path, tiny: Checkpoint) -> None:
    first, again, other = (numbers(q4q8_bundle, tiny, sample=20, seed=seed) for seed in (3, 3, 4))
    names = [{name for row in found.rows for name in row.tensors} for found in (first, again, other)]
    assert names[0] == names[1] != names[2]
    assert len(names[0]) == 20
    said = "a sample: 20 of 253 source tensors (seed 3), every row of them also read by mlx"
    assert first.step.facts[0] == said
    whole = {name: gap for row in numbers(q4q8_bundle, tiny).rows for name, gap in row.tensors.items()}
    for row in first.rows:
        for name, gap in row.tensors.items():
            all_of_it = whole[name]
            assert (gap.weights, gap.error, gap.max_error) == (all_of_it.weights, all_of_it.error, all_of_it.max_error)


def test_one_damaged_expert_is_not_hidden_by_the_others(q4q8_bundle: Path, tiny: Checkpoint) -> None:
    """Every tensor has its own figure, and the module's is theirs together."""
    found = numbers(q4q8_bundle, tiny)
    row = next(row for row in found.rows if row.name == "model.layers.1.mlp.switch_mlp.up_proj")
    assert list(row.tensors) == [f"layers.1.ffn.experts.{expert}.w3.weight" for expert in range(8)]
    assert row.whole.error == pytest.approx(sum(gap.error for gap in row.tensors.values()))
    assert row.data()["worst"] in row.tensors
    assert len(row.data()["tensors"]) == 8


@pytest.mark.parametrize("recipe", ["q4q8-per-expert", "jangtq2", "native", "universal", "q3-mixed"])
def test_a_downloaded_bundle_gives_the_same_numbers_without_its_plan(
    tiny: Checkpoint, tmp_path: Path, recipe: str
) -> None:
    out = build(make_plan(load_recipe(recipe), tiny), tiny, tmp_path / "bundle")
    ours = numbers(out, tiny)
    for path in out.glob("dsv4recipe.*"):
        path.unlink()
    theirs = numbers(out, tiny)
    assert theirs.step.findings == ours.step.findings == ()
    assert {row.name: row.whole.error for row in theirs.rows} == {row.name: row.whole.error for row in ours.rows}


def test_what_headers_do_not_show_is_not_compared_and_said(q4q8_bundle: Path, tiny: Checkpoint, tmp_path: Path) -> None:
    from tests.verifier.mutants import retensor

    bundle = Path(shutil.copytree(q4q8_bundle, tmp_path / "bundle"))
    retensor(lambda t: t.update({"layers.2.attn.wkv.scales": t["layers.2.attn.wkv.scales"][:, ::3]}))(bundle)
    found = numbers(bundle, tiny)
    assert [(f.code, "1 modules have an unknown format" in f.message) for f in found.step.findings] == [("V306", True)]
    assert len(found.rows) == 147


def test_summaries_have_the_band_and_the_worst(q4q8_bundle: Path, tiny_source: Path) -> None:
    rows = {(row["role"], row["format"]): row for row in verify(q4q8_bundle, tiny_source).data()["roles"]}
    experts = rows["routed-expert", "affine 4-bit g32"]
    assert experts["tensors"] == 120
    assert experts["band"][0] < experts["rel_rmse"] <= experts["worst_rel_rmse"] < experts["band"][1]
    assert rows["hyper-connection", "F32"]["band"] == [0, 0]


def test_the_bands_are_those_that_the_benchmark_measures() -> None:
    """Three formats over three kinds of weights again, on fewer rows: within a tenth of what the table says."""
    bench = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "bands.py"))
    from dsv4recipe.formats import Affine, Mxtq
    from dsv4recipe.formats.affine.bands import MEASURED as BY_GROUP
    from dsv4recipe.formats.decode import decode_parts, decode_source
    from dsv4recipe.formats.encode import encode
    from dsv4recipe.formats.kernels.compare import distance
    from dsv4recipe.formats.mxtq.spec import MEASURED as ROTATED

    for fmt in (Affine(4, 32, "bfloat16"), Affine(8, 128, "bfloat16"), Mxtq(2, 42)):
        low, high = ROTATED[fmt.bits] if isinstance(fmt, Mxtq) else BY_GROUP[fmt.bits, fmt.group_size]
        for kind, values in bench["weights"](128):
            for stored, source in bench["sources"](values):
                error, power, _ = distance(decode_source(*source), decode_parts(fmt, source[0], encode(fmt, *source)))
                assert 0.9 * low < (error / power) ** 0.5 < 1.1 * high, (fmt, kind, stored)
        expected = fmt.error_band()
        assert expected is not None
        assert expected[0] < low < high < expected[1] < fmt.error_limit()
