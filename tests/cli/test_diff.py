"""`diff` as a user types it: recipes, plan files and bundles on either side, one screen, exit codes, JSON."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dsv4recipe import build, load_recipe, make_plan
from dsv4recipe.checkpoint.graph import Checkpoint
from tests.bundle import foreign
from tests.calling import Captured, call


@pytest.fixture(scope="module")
def native(tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(make_plan(load_recipe("native"), tiny), tiny, tmp_path_factory.mktemp("native") / "bundle")


def test_recipe_plan_file_and_bundle_of_one_thing_never_differ(
    capsys: Captured, tiny_source: Path, native: Path, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.json"
    assert call(capsys, "plan", "native", "--source", tiny_source, "-o", plan)[0] == 0
    shown = shutil.copytree(native, tmp_path / "shown")
    (shown / "dsv4recipe.plan.json").unlink()
    sides = ["native", plan, native, shown]
    for before in sides:
        for after in sides:
            code, out, _ = call(capsys, "diff", before, after, "--source", tiny_source, "--exit-code")
            assert (code, out) == (0, "no differences (116 modules)\n"), (before, after)


def test_one_screen_with_groups_facts_and_totals(
    capsys: Captured, tiny_source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    code, out, err = call(capsys, "diff", "q4q8", "native", "--source", tiny_source)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert len(lines) < 50
    assert max(map(len, lines)) <= 160
    row = next(line for line in lines if "experts.{0-7}.{w1,w2,w3} ×12" in line and line.startswith("~"))
    assert row.split("×12")[1].split() == ["affine", "4-bit", "g32", "mxfp4", "-294,912"]
    assert "~ target.runtime: vmlx → mlx-vlm" in lines
    assert "~ names (116 modules): as vmlx has them → as mlx-vlm has them" in lines
    assert lines[-3:] == [
        "before           6,517,360 B  0.007 GB / 0.006 GiB",
        "after            5,333,204 B  0.005 GB / 0.005 GiB",
        "delta           -1,184,156 B  -0.001 GB / -0.001 GiB",
    ]


def test_json_has_everything_the_screen_has_not(capsys: Captured, tiny_source: Path) -> None:
    code, out, _ = call(capsys, "diff", "q4q8", "native", "--source", tiny_source, "--json", "--exit-code")
    data = json.loads(out)
    assert code == 2
    assert {"same", "added", "removed", "changed", "bytes_delta"} <= set(data)
    rows = [*data["added"], *data["removed"], *data["changed"]]
    assert sum(row["bytes_delta"] for row in rows) == data["bytes_delta"] == -1_184_156
    assert data["same"] + sum(row["count"] for row in data["changed"]) == 116
    assert sum(row["count"] for row in data["removed"]) == 32


def test_side_files_are_compared_between_bundles(capsys: Captured, native: Path, tmp_path: Path) -> None:
    other = shutil.copytree(native, tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    config["rope_theta"] = 1
    (other / "config.json").write_text(json.dumps(config))
    (other / "processor_config.json").write_text("{}  ")
    (other / "chat_template.jinja").write_text("{{ messages }}")
    (other / "tokenizer.json").unlink()
    code, out, _ = call(capsys, "diff", native, other, "--exit-code")
    assert code == 2
    lines = out.splitlines()
    assert lines[0].startswith("~ side file chat_template.jinja: sha256 ")
    assert lines[1].startswith("~ side file config.json: rope_theta: ")
    assert lines[1].endswith(" → 1")
    assert lines[2] == "~ side file processor_config.json: none → 4 B"
    assert lines[3].startswith("~ side file tokenizer.json: ")
    assert lines[3].endswith(" B → none")
    assert lines[4] == "116 modules are the same"


def test_a_bundle_of_someone_else_against_a_recipe(
    capsys: Captured, tiny: Checkpoint, tiny_source: Path, tmp_path: Path
) -> None:
    plan = make_plan(load_recipe("native"), tiny)
    theirs = foreign.mlx_community(tmp_path / "theirs", plan, tiny)
    code, out, err = call(capsys, "diff", "native", theirs, "--source", tiny_source, "--exit-code")
    assert code == 2
    assert err == ""
    assert "~ overrides" in out
    assert "delta                   +0 B" in out


def test_neither_side_may_be_a_checkpoint(capsys: Captured, native: Path, tiny_source: Path) -> None:
    code, _, err = call(capsys, "diff", native, tiny_source)
    assert code == 1
    assert "error[P023]: this is a source checkpoint, not a bundle" in err


def test_a_changed_bundle_is_not_built_from(capsys: Captured, tiny_source: Path, native: Path, tmp_path: Path) -> None:
    changed = shutil.copytree(native, tmp_path / "changed")
    config = json.loads((changed / "config.json").read_text())
    config["quantization"]["bits"] = 3
    (changed / "config.json").write_text(json.dumps(config))
    code, _, err = call(capsys, "build", changed, "--source", tiny_source, "-o", tmp_path / "out")
    assert code == 1
    assert "error[P022]" in err
    assert not (tmp_path / "out").exists()


def test_a_plan_file_that_is_no_text_is_refused(capsys: Captured, native: Path, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_bytes(b"\xff\xfe")
    code, _, err = call(capsys, "diff", tmp_path / "plan.json", native)
    assert code == 1
    assert "error[P020]" in err
