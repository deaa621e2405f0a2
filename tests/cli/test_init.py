"""`init` and `check`: what they write can be planned, for every runtime, and several recipes are checked at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsv4recipe import load_recipe, make_plan
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.cli.main import run

MLX = ("vmlx", "mlx-vlm", "rapid-mlx", "omlx", "mlx-lm-fork", "universal")


@pytest.mark.parametrize("arguments", [(), ("--from", "q4q8")])
@pytest.mark.parametrize("runtime", MLX)
def test_a_starter_for_a_runtime_can_be_planned(
    tmp_path: Path, tiny: Checkpoint, runtime: str, arguments: tuple[str, ...]
) -> None:
    if runtime == "universal":
        arguments = ("--from", "universal")
    file = tmp_path / "mine.yaml"
    assert run(["init", str(file), "--runtime", runtime, *arguments]) == 0
    plan = make_plan(load_recipe(file), tiny)
    assert plan.target["runtime"] == runtime


def test_a_starter_for_a_gguf_engine_needs_a_parent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", str(tmp_path / "mine.yaml"), "--runtime", "ds4"]) == 64
    assert "--from ds4-q2" in capsys.readouterr().err
    assert run(["init", str(tmp_path / "mine.yaml"), "--from", "ds4-q2"]) == 0


def test_several_recipes_are_checked_and_every_fault_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one.yaml", "two.yaml"):
        (tmp_path / name).write_text("recipe: 1\nname: x\nextends: q4q9\n", encoding="utf-8")
    assert run(["check", "q4q8", "native"]) == 0
    assert capsys.readouterr().out.count("no errors") == 2
    assert run(["check", "q4q8", str(tmp_path / "one.yaml"), str(tmp_path / "two.yaml")]) == 1
    err = capsys.readouterr().err
    assert "one.yaml" in err
    assert "two.yaml" in err


def test_the_bare_command_prints_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    assert "Commands:" in capsys.readouterr().out
    assert run(["-V"]) == 0
