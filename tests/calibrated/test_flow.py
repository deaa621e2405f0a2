"""From `fit: gptq` in a recipe to the bytes: plan, build, verify, lock; and every refusal with its code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dsv4recipe import build, make_plan, open_checkpoint
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.errors import RecipeError
from dsv4recipe.plan.canonical import dump_plan, load_plan
from dsv4recipe.recipe.load import parse_recipe
from dsv4recipe.records.read import NAME, load_record
from tests.calibrated.records import record
from tests.calling import Captured, call
from tests.recipes import changed

STAGES = """  - id: stages
    match: {role: routed-expert, block: mtp}
    format: {affine: {bits: 4, group-size: 32}}
"""
FIRST = "  - id: routed-experts\n"
GPTQ = changed(FIRST, STAGES + FIRST)
GPTQ = GPTQ.replace(
    "match: {role: routed-expert}\n    format: {affine: {bits: 4, group-size: 32}}",
    "match: {role: routed-expert}\n    format: {affine: {bits: 2, group-size: 64, fit: gptq}}",
)


@pytest.fixture(scope="module")
def kept(tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tiny, tmp_path_factory.mktemp("records") / "kept")


@pytest.fixture(scope="module")
def built(tiny: Checkpoint, kept: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = load_record(kept)
    plan = make_plan(parse_recipe(GPTQ, "recipe.yaml"), tiny, importance=found)
    out: Path = build(plan, tiny, tmp_path_factory.mktemp("built") / "one", workers=1, importance=found)
    return out


def weights_of(bundle: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(bundle.glob("*.safetensors"))}


def test_one_worker_and_two_write_the_same_bytes(tiny: Checkpoint, kept: Path, built: Path, tmp_path: Path) -> None:
    found = load_record(kept)
    plan = make_plan(parse_recipe(GPTQ, "recipe.yaml"), tiny, importance=found)
    assert weights_of(build(plan, tiny, tmp_path / "two", workers=2, importance=found)) == weights_of(built)


def test_the_plan_pins_the_record(tiny: Checkpoint, kept: Path) -> None:
    found = load_record(kept)
    plan = make_plan(parse_recipe(GPTQ, "recipe.yaml"), tiny, importance=found)
    assert load_plan(dump_plan(plan), "plan.json").importance == found.planned
    assert json.loads(dump_plan(plan))["importance"] == {"format": "record", "sha256": found.sha256, "unseen": 0}


def test_verify_encodes_again_by_the_record_and_judges_outputs(
    tiny: Checkpoint, kept: Path, built: Path, capsys: Captured
) -> None:
    source = tiny.folder.root
    code, out, err = call(capsys, "verify", built, "--source", source, "--calibration", kept)
    assert code == 0, out + err
    assert "V309" not in out + err
    code, out, err = call(capsys, "verify", built, "--source", source)
    assert "V309" in out + err
    assert "--calibration RECORD" in out + err


def test_verify_finds_a_code_that_was_changed(
    tiny: Checkpoint, kept: Path, built: Path, tmp_path: Path, capsys: Captured
) -> None:
    spoiled = tmp_path / "spoiled"
    shutil.copytree(built, spoiled)
    shard = next(iter(sorted(spoiled.glob("*.safetensors"))))
    raw = bytearray(shard.read_bytes())
    raw[8 + int.from_bytes(raw[:8], "little") + 64] ^= 0x10
    shard.write_bytes(raw)
    code, out, err = call(capsys, "verify", spoiled, "--source", tiny.folder.root, "--calibration", kept)
    assert code == 3
    assert "V303" in out + err


def test_record_serves_as_importance(tiny: Checkpoint, kept: Path, tmp_path: Path) -> None:
    text = GPTQ.replace("bits: 2, group-size: 64, fit: gptq", "bits: 3, group-size: 64, fit: mse, importance: record")
    found = load_record(kept)
    plan = make_plan(parse_recipe(text, "recipe.yaml"), tiny, importance=found)
    weighed = weights_of(build(plan, tiny, tmp_path / "weighed", importance=found))
    plain = make_plan(parse_recipe(text.replace(", importance: record", ""), "recipe.yaml"), tiny)
    assert weights_of(build(plain, tiny, tmp_path / "plain")) != weighed


@pytest.mark.parametrize("text", [GPTQ], ids=["gptq"])
def test_no_record(tiny: Checkpoint, text: str) -> None:
    with pytest.raises(RecipeError) as caught:
        make_plan(parse_recipe(text, "recipe.yaml"), tiny)
    assert [each.code for each in caught.value.diagnostics] == ["K011"]
    assert "dsv4recipe calibrate" in caught.value.diagnostics[0].hint


def test_a_record_that_no_rule_asks_for(tiny: Checkpoint, kept: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        make_plan(parse_recipe(changed("bits: 4", "bits: 5"), "recipe.yaml"), tiny, importance=load_record(kept))
    assert caught.value.diagnostics[0].code == "K012"


def test_inputs_that_were_not_recorded(tiny: Checkpoint, tmp_path: Path) -> None:
    short = load_record(record(tiny, tmp_path / "short", layers=1))
    with pytest.raises(RecipeError) as caught:
        make_plan(parse_recipe(GPTQ, "recipe.yaml"), tiny, importance=short)
    (found,) = caught.value.diagnostics
    assert found.code == "K010"
    assert any("--modules experts" in note for note in found.notes)


def test_stages_are_not_recorded(tiny: Checkpoint, kept: Path) -> None:
    text = changed("bits: 4, group-size: 32", "bits: 4, group-size: 32, fit: gptq")
    with pytest.raises(RecipeError) as caught:
        make_plan(parse_recipe(text, "recipe.yaml"), tiny, importance=load_record(kept))
    assert caught.value.diagnostics[0].code == "K010"


def test_a_record_of_another_checkpoint(tiny: Checkpoint, kept: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(kept, other)
    data = json.loads((other / NAME).read_text())
    data["source"]["header_digest"] = "0" * 64
    (other / NAME).write_text(json.dumps(data))
    with pytest.raises(RecipeError) as caught:
        make_plan(parse_recipe(GPTQ, "recipe.yaml"), tiny, importance=load_record(other))
    assert caught.value.diagnostics[0].code == "K014"


def test_a_damaged_record_stops_the_build(tiny: Checkpoint, kept: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(kept, other)
    path = other / "layer-00000.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    found = load_record(other)
    plan = make_plan(parse_recipe(GPTQ, "recipe.yaml"), tiny, importance=found)
    with pytest.raises(RecipeError) as caught:
        build(plan, tiny, tmp_path / "out", importance=found)
    assert caught.value.diagnostics[0].code == "K003"
    assert not (tmp_path / "out").exists()


def test_what_is_no_record(tmp_path: Path, kept: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        load_record(tmp_path)
    assert caught.value.diagnostics[0].code == "K001"
    other = tmp_path / "other"
    shutil.copytree(kept, other)
    (other / "layer-00000.safetensors").write_bytes(b"short")
    with pytest.raises(RecipeError) as caught:
        load_record(other)
    assert caught.value.diagnostics[0].code == "K002"


def test_both_at_once_is_wrong_usage(tiny: Checkpoint, kept: Path, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "recipe.yaml").write_text(GPTQ)
    code, _, err = call(
        capsys,
        "plan",
        tmp_path / "recipe.yaml",
        "--source",
        tiny.folder.root,
        "--calibration",
        kept,
        "--importance",
        kept,
    )
    assert code == 64
    assert "a record serves as both" in err


def test_a_killed_build_goes_on_to_the_same_bytes(tiny: Checkpoint, kept: Path, built: Path, tmp_path: Path) -> None:
    found = load_record(kept)
    plan = make_plan(parse_recipe(GPTQ, "recipe.yaml"), tiny, importance=found)

    def stop(event: dict) -> None:
        if event["event"] == "written":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(plan, tiny, tmp_path / "out", importance=found, on_event=stop)
    assert weights_of(build(plan, tiny, tmp_path / "out", importance=found)) == weights_of(built)


def test_opened_again_from_a_path(tiny: Checkpoint, kept: Path) -> None:
    plan = make_plan(parse_recipe(GPTQ, "recipe.yaml"), open_checkpoint(tiny.folder.root), importance=kept)
    assert plan.importance is not None
