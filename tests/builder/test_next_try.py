"""What an earlier try left does not block the next one, where nothing of it is worth keeping."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsv4recipe import RecipeError, build, load_recipe, make_plan
from dsv4recipe.builder import preflight
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.cli.main import run
from dsv4recipe.files import disk


def test_an_empty_folder_at_the_output_is_taken(tiny: Checkpoint, tmp_path: Path) -> None:
    source = str(tiny.folder.root)
    for name, more in (("full", []), ("hollow", ["--headers-only"])):
        out = tmp_path / name
        out.mkdir()
        assert run(["build", "q4q8", "--source", source, "-o", str(out), *more]) == 0
        assert (out / "config.json").is_file()
    (tmp_path / "made").mkdir()
    assert run(["synth", str(tmp_path / "made")]) == 0
    assert (tmp_path / "made" / "config.json").is_file()
    assert not list(tmp_path.glob("*.partial"))


def test_a_folder_with_a_file_is_not(tiny: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine", encoding="utf-8")
    assert run(["build", "q4q8", "--source", str(tiny.folder.root), "-o", str(tmp_path / "out")]) == 1
    assert "error[B001]" in capsys.readouterr().err
    assert (tmp_path / "out" / "mine.txt").read_text(encoding="utf-8") == "mine"


def test_a_failed_disk_check_leaves_nothing(tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make_plan(load_recipe("q4q8"), tiny)
    with monkeypatch.context() as patch:
        patch.setattr(preflight.disk, "free_bytes", lambda folder: 1)
        with pytest.raises(RecipeError) as caught:
            build(plan, tiny, tmp_path / "out")
    assert caught.value.diagnostics[0].code == "B004"
    assert list(tmp_path.iterdir()) == []
    assert build(make_plan(load_recipe("native"), tiny), tiny, tmp_path / "out").is_dir()


def test_unfinished_work_of_another_plan_gives_way_only_where_there_is_none(tiny: Checkpoint, tmp_path: Path) -> None:
    one, other = (make_plan(load_recipe(name), tiny) for name in ("q4q8", "native"))
    partial = tmp_path / "out.partial"

    def stop(event: dict[str, object]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(one, tiny, tmp_path / "out", on_event=stop)
    assert partial.is_dir()
    assert build(other, tiny, tmp_path / "out").is_dir()
    assert not partial.exists()
    disk.make_folder(partial)
    (partial / "dsv4recipe.plan.json").write_text("{}", encoding="utf-8")
    (partial / "model-00001-of-00001.safetensors").write_bytes(b"work")
    (tmp_path / "out").rename(tmp_path / "elsewhere")
    with pytest.raises(RecipeError) as caught:
        build(one, tiny, tmp_path / "out")
    assert caught.value.diagnostics[0].code == "B003"
    assert (partial / "model-00001-of-00001.safetensors").is_file()
