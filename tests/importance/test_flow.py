"""From `importance: file` in a recipe to the bytes: plan, build, verify, lock, diff, decompile; and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from dsv4recipe import build, make_plan
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.errors import RecipeError
from dsv4recipe.formats import Affine
from dsv4recipe.formats.encode import encode
from dsv4recipe.importance.model import Importance
from dsv4recipe.importance.read import load_importance
from dsv4recipe.plan.canonical import dump_plan, load_plan
from dsv4recipe.recipe.load import parse_recipe
from tests.calling import Captured, call
from tests.importance.files import stacks, write_dat, write_gguf
from tests.recipes import changed

PLAIN = changed("bits: 4, group-size: 32", "bits: 4, group-size: 32, fit: mse")
WEIGHED = changed("bits: 4, group-size: 32", "bits: 4, group-size: 32, fit: mse, importance: file")


@pytest.fixture(scope="module")
def files(tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """recipe.yaml, plain.yaml, good.dat, other.dat."""
    folder = tmp_path_factory.mktemp("importance")
    (folder / "recipe.yaml").write_text(WEIGHED)
    (folder / "plain.yaml").write_text(PLAIN)
    write_dat(folder / "good.dat", stacks(tiny))
    write_dat(folder / "other.dat", stacks(tiny, seed=1))
    return folder


@pytest.fixture(scope="module")
def good(files: Path) -> Importance:
    return load_importance(files / "good.dat")


@pytest.fixture(scope="module")
def bundle(tiny: Checkpoint, files: Path, good: Importance) -> Path:
    plan = make_plan(parse_recipe(WEIGHED, "recipe.yaml"), tiny, importance=good)
    return build(plan, tiny, files / "bundle", importance=good)


def test_the_plan_records_the_file_only_where_one_is_used(tiny: Checkpoint, good: Importance) -> None:
    plan = make_plan(parse_recipe(WEIGHED, "recipe.yaml"), tiny, importance=good)
    data = json.loads(dump_plan(plan))
    assert data["importance"] == {"sha256": good.sha256, "format": "imatrix-dat", "unseen": 0}
    assert load_plan(dump_plan(plan), "plan.json") == plan
    assert "importance" not in json.loads(dump_plan(make_plan(parse_recipe(PLAIN, "plain.yaml"), tiny)))


def test_every_expert_is_weighed_by_its_own_columns(tiny: Checkpoint, good: Importance, bundle: Path) -> None:
    fmt = Affine(4, 32, "float16", "mse", "file")
    group = next(g for g in tiny.groups if g.slot.row.role == "routed-expert" and g.slot.row.projection == "down")
    plan = load_plan((bundle / "dsv4recipe.plan.json").read_text(), "plan")
    module = next(m for m in plan.modules if m.sources == group.names)
    shards = {name: array for path in bundle.glob("*.safetensors") for name, array in load_file(path).items()}
    words = shards[module.disk + ".weight"]
    for expert, tensor in enumerate(group.members):
        raw = [np.fromfile(tiny.folder.root / file, np.uint8, entry.end - entry.start, offset=entry.start)
               for file, entry in ((tensor.file, tensor.weight), (tensor.scale_file, tensor.scale))]  # fmt: skip
        columns = good.columns(tensor.name, tensor.source.shape[1])
        assert np.array_equal(words[expert], encode(fmt, tensor.source, *raw, importance=columns)[0])
        other = good.columns(group.members[expert - 1].name, tensor.source.shape[1])
        assert not np.array_equal(words[expert], encode(fmt, tensor.source, *raw, importance=other)[0])


def test_verify_encodes_again_with_the_file_and_says_so_without_it(
    capsys: Captured, bundle: Path, files: Path, tiny_source: Path
) -> None:
    arguments = ("verify", bundle, "--source", tiny_source, "--json")
    code, out, _ = call(capsys, *arguments, "--importance", files / "good.dat")
    assert (code, [f for s in json.loads(out)["steps"] for f in s["findings"]]) == (0, [])
    code, out, _ = call(capsys, *arguments)
    findings = [f["code"] for s in json.loads(out)["steps"] for f in s["findings"]]
    assert (code, findings) == (0, ["V309"])
    code, _, err = call(capsys, *arguments, "--importance", files / "other.dat")
    assert code == 1
    assert "I020" in err


@pytest.mark.parametrize(
    ("recipe", "file", "said"),
    [("recipe.yaml", None, "I011"), ("plain.yaml", "good.dat", "I012"), ("recipe.yaml", "none.dat", "I001")],
)
def test_a_file_and_a_recipe_go_together(
    capsys: Captured, files: Path, tiny_source: Path, recipe: str, file: str | None, said: str
) -> None:
    given = () if file is None else ("--importance", files / file)
    for command in (("plan", files / recipe), ("build", files / recipe, "-o", files / "never")):
        code, _, err = call(capsys, *command, "--source", tiny_source, *given)
        assert code == 1
        assert f"[{said}]" in err
    assert not (files / "never").exists()


def test_a_build_takes_no_other_file(tiny: Checkpoint, good: Importance, files: Path) -> None:
    plan = make_plan(parse_recipe(WEIGHED, "recipe.yaml"), tiny, importance=good)
    plain = make_plan(parse_recipe(PLAIN, "plain.yaml"), tiny)
    for which, given in ((plan, None), (plan, load_importance(files / "other.dat")), (plain, good)):
        with pytest.raises(RecipeError) as caught:
            build(which, tiny, files / "never", importance=given)
        assert caught.value.diagnostics[0].code == "I020"
    assert not list(files.glob("never*"))


def test_a_file_that_lacks_matrices_is_refused_by_name(tiny: Checkpoint, tmp_path: Path) -> None:
    whole = stacks(tiny)
    lacking = {name: values for name, values in whole.items() if name != "blk.1.ffn_up_exps.weight"}
    lacking["blk.0.ffn_down_exps.weight"] = whole["blk.0.ffn_down_exps.weight"] * np.float32(0)
    lacking["blk.2.ffn_gate_exps.weight"] = whole["blk.2.ffn_gate_exps.weight"][1:]
    given = load_importance(write_dat(tmp_path / "i.dat", lacking))
    with pytest.raises(RecipeError) as caught:
        make_plan(parse_recipe(WEIGHED, "recipe.yaml"), tiny, importance=given)
    (found,) = caught.value.diagnostics
    assert found.code == "I010"
    assert "3 modules" in found.message
    assert "layers.0.ffn.experts.0.w2.weight: every column is 0" in found.notes[0]
    assert "layers.1.ffn.experts.0.w3.weight has no entry" in found.notes[1]
    assert "layers.2.ffn.experts.0.w1.weight: its entry has" in found.notes[2]


def test_other_commands_know_the_file(
    capsys: Captured, files: Path, bundle: Path, tiny: Checkpoint, tiny_source: Path, tmp_path: Path
) -> None:
    recipe, given = files / "recipe.yaml", ("--source", tiny_source, "--importance", files / "good.dat")
    code, out, _ = call(capsys, "explain", recipe, "layers.0.ffn.experts.3.w1.weight", *given, "--json")
    assert (code, json.loads(out)["module"]["format"]["affine"]["importance"]) == (0, "file")
    lock = tmp_path / "recipe.lock"
    assert call(capsys, "lock", recipe, *given, "-o", lock)[0] == 0
    assert call(capsys, "lock", recipe, *given, "-o", lock, "--check")[0] == 0
    moved = (*given[:2], "--importance", files / "other.dat")
    code, _, err = call(capsys, "lock", recipe, *moved, "-o", lock, "--check")
    assert code == 1
    assert "importance.sha256" in err
    code, out, _ = call(capsys, "diff", files / "plain.yaml", recipe, *given, "--json")
    assert (code, json.loads(out)["bytes_delta"]) == (0, 0)
    code, out, _ = call(capsys, "diff", bundle, recipe, *given, "--exit-code")
    assert code == 0
    again = tmp_path / "again.yaml"
    assert call(capsys, "decompile", bundle, "-o", again)[0] == 0
    assert "importance: file" in again.read_text()
    page = tmp_path / "page.html"
    assert call(capsys, "report", recipe, *given, "-o", page)[0] == 0
    assert load_importance(files / "good.dat").sha256 in (bundle / "README.md").read_text()


def test_both_formats_of_one_calibration_give_the_same_bundle(
    tiny: Checkpoint, good: Importance, bundle: Path, tmp_path: Path
) -> None:
    means = stacks(tiny)
    counts = {name: np.full(len(values), 4, np.float32) for name, values in means.items()}
    other = load_importance(write_gguf(tmp_path / "i.gguf", {n: v * 4 for n, v in means.items()}, counts))
    assert other.format == "imatrix-gguf"
    out = build(
        make_plan(parse_recipe(WEIGHED, "recipe.yaml"), tiny, importance=other), tiny, tmp_path / "b", importance=other
    )
    for path in bundle.glob("*.safetensors"):
        assert (out / path.name).read_bytes() == path.read_bytes()


def test_exact_experts_are_planned_and_built_lossless(
    capsys: Captured, tiny: Checkpoint, tiny_source: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "exact.yaml"
    recipe.write_text(changed("bits: 4, group-size: 32", "bits: 5, group-size: 32, fit: exact"))
    assert call(capsys, "build", recipe, "--source", tiny_source, "-o", tmp_path / "out")[0] == 0
    code, out, _ = call(capsys, "verify", tmp_path / "out", "--source", tiny_source, "--json")
    rows = [row for row in json.loads(out)["numbers"] if row["role"] == "routed-expert"]
    assert code == 0
    assert rows
    assert all(row["lossless"] and row["max_error"] == 0 for row in rows)
    recipe.write_text(changed("bits: 4, group-size: 32", "bits: 4, group-size: 32, fit: exact"))
    code, _, err = call(capsys, "build", recipe, "--source", tiny_source, "-o", tmp_path / "four")
    assert code == 1
    assert "error[B021]: layers.0.ffn.experts." in err
    assert "at row 0, column" in err
