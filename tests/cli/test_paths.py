"""Paths as people type them: nothing of another kind is written over, and `~` is a home folder everywhere."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from dsv4recipe import RecipeError, build, load_recipe, make_plan, open_checkpoint, verify
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.checkpoint.synth import synthesize
from dsv4recipe.cli.main import COMMANDS, dsv4recipe, run
from dsv4recipe.importance.read import load_importance
from dsv4recipe.paths import as_path, expanded
from dsv4recipe.verifier.runtime.choose import interpreters
from tests.gguf.recipes import for_llama_cpp
from tests.recipes import SOUND

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def writers(tiny_source: Path, q4q8_bundle: Path) -> dict[str, Callable[[Path], list[str]]]:
    """Every way of writing a file that a command offers, as the arguments for an output."""
    source, bundle = str(tiny_source), str(q4q8_bundle)
    allocate = ["allocate", "q4q8", "--source", source, "--errors", "synthetic", "--budget", "7MB"]
    return {
        "plan": lambda out: ["plan", "q4q8", "--source", source, "-o", str(out)],
        "report": lambda out: ["report", bundle, "-o", str(out)],
        "lock": lambda out: ["lock", "q4q8", "--source", source, "-o", str(out)],
        "fix-config": lambda out: ["verify", bundle, "--fix-config", str(out)],
        "init": lambda out: ["init", str(out)],
        "decompile": lambda out: ["decompile", bundle, "-o", str(out)],
        "allocate": lambda out: [*allocate, "-o", str(out)],
        "write-errors": lambda out: [*allocate, "--dry-run", "--write-errors", str(out)],
    }


REPLACED = ("plan", "report", "lock", "fix-config", "write-errors")
"""What the tool made, it may make again; recipes are people's own."""


def test_no_command_writes_over_a_file_of_another_kind(
    writers: dict[str, Callable[[Path], list[str]]], tmp_path: Path, capsys: Captured
) -> None:
    made = {}
    for name, arguments in writers.items():
        out = tmp_path / name
        assert run(arguments(out)) == 0, name
        made[name] = out.read_bytes()
    strangers = {
        **made,
        "recipe": SOUND.encode(),
        "shard": bytes(64),
        "mine": b'{"notes": 1}',
        "html": b"<html></html>",
    }
    for name, arguments in writers.items():
        for kind, content in strangers.items():
            if {kind, name} <= {"init", "decompile", "allocate"} or kind == name:
                continue
            out = tmp_path / "theirs"
            out.write_bytes(content)
            capsys.readouterr()
            assert run(arguments(out)) == 1, (name, kind)
            assert "error[U003]" in capsys.readouterr().err
            assert out.read_bytes() == content, (name, kind)
        assert run(arguments(tmp_path / name)) == (0 if name in REPLACED else 1), name
        assert (tmp_path / name).read_bytes() == made[name], name
        out.write_bytes(b"theirs")
        assert run([*arguments(out), "--force"]) == 0, name
        assert out.read_bytes() != b"theirs"
        assert run([*arguments(tmp_path), "--force"]) == 1, name
        assert "a folder" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.tmp")) + list(tmp_path.glob(".*"))


def test_an_empty_file_a_link_and_a_pipe_may_be_written_to(tiny_source: Path, tmp_path: Path) -> None:
    arguments = ["plan", "q4q8", "--source", str(tiny_source), "-o"]
    empty, link = tmp_path / "empty.json", tmp_path / "link.json"
    empty.touch()
    link.symlink_to(empty)
    assert run([*arguments, str(link)]) == 0
    assert link.is_symlink()
    assert json.loads(empty.read_text())["format_version"] == 1
    assert run([*arguments, "/dev/null"]) == 0
    assert Path("/dev/null").is_char_device()


def test_the_manifest_beside_a_gguf_is_not_written_over(tiny_256: Checkpoint, tmp_path: Path) -> None:
    mine = tmp_path / "model.gguf.manifest.json"
    mine.write_text("mine", encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        build(make_plan(for_llama_cpp("ds4-q4"), tiny_256), tiny_256, tmp_path / "model.gguf")
    assert caught.value.diagnostics[0].code == "B001"
    assert [path.name for path in tmp_path.iterdir()] == [mine.name]
    assert mine.read_text(encoding="utf-8") == "mine"


def test_a_home_folder_is_found_wherever_a_path_is_typed(
    tiny_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    home, here = tmp_path / "home", tmp_path / "here"
    shutil.copytree(tiny_source, home / "source")
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(home))
    assert run(["init", "~/mine.yaml"]) == 0
    (home / "child.yaml").write_text(SOUND.replace("name: sound", "name: child"), encoding="utf-8")
    Path("heir.yaml").write_text('recipe: 1\nextends: "~/mine.yaml"\nname: heir\n', encoding="utf-8")
    assert run(["check", "heir.yaml"]) == 0
    assert run(["lock", "~/mine.yaml", "--source=~/source"]) == 0
    assert run(["plan", "~/mine.yaml", "--source", "~/source", "--output=~/plan.json"]) == 0
    assert run(["build", "~/plan.json", "--source=~/source", "--output=~/q"]) == 0
    assert run(["verify", "~/q", "--source=~/source", "--fix-config=~/config.json"]) == 0
    assert run(["report", "~/q", "-o", "~/page.html"]) == 0
    assert run(["diff", "~/q", "~/plan.json", "--exit-code"]) == 0
    assert run(["inspect", "~/q"]) == run(["synth", "~/more"]) == 0
    assert run(["decompile", "~/q", "-o", "~/again.yaml"]) == 0
    made = {"mine.yaml", "mine.lock", "plan.json", "q", "config.json", "page.html", "more", "again.yaml"}
    assert made <= {path.name for path in home.iterdir()}
    assert [path.name for path in here.iterdir()] == ["heir.yaml"]
    capsys.readouterr()
    assert run(["build", "q4q8", "--source=~/source", "--output=~nobody-of-this-name/q"]) == 1
    assert "error[U016]" in capsys.readouterr().err
    assert [path.name for path in here.iterdir()] == ["heir.yaml"]


def test_python_expands_a_home_folder_too(tiny_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    shutil.copytree(tiny_source, home / "source")
    (home / "mine.yaml").write_text(SOUND, encoding="utf-8")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    for form in (str, Path):
        checkpoint = open_checkpoint(form("~/source"))
        plan = make_plan(load_recipe(form("~/mine.yaml")), checkpoint)
        assert build(plan, checkpoint, form("~/q"), scratch_dir=form("~")) == home / "q"
        assert verify(form("~/q"), form("~/source"), sample=1).ok
    assert synthesize(Path("~/more")).root == home / "more"
    assert interpreters(["vmlx=~/bin/python"]) == {"vmlx": home / "bin" / "python"}
    with pytest.raises(RecipeError) as caught:
        load_importance("~/none.dat")
    assert str(home) in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_what_begins_with_a_tilde_and_is_no_home_is_refused_and_a_file_of_that_name_can_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for function in (expanded, as_path):
        with pytest.raises(RecipeError) as caught:
            function("~nobody-of-this-name/x")
        assert caught.value.diagnostics[0].code == "U016"
    assert run(["init", "./~draft.yaml"]) == 0
    assert os.listdir() == ["~draft.yaml"]
    assert run(["check", str(tmp_path / "~draft.yaml")]) == 0


@pytest.mark.parametrize("name", ["0731", "null", "my recipe", "Q4 (new)", "--", "é"])
def test_init_writes_a_recipe_that_passes_whatever_the_file_is_called(name: str, tmp_path: Path) -> None:
    out = tmp_path / f"{name}.yaml"
    assert run(["init", str(out)]) == 0
    assert run(["check", str(out)]) == 0


def test_every_path_that_a_command_takes_is_expanded() -> None:
    """No option or argument is of click's own path type, which takes `~` literally."""
    context = click.Context(dsv4recipe)
    for name in COMMANDS:
        command = dsv4recipe.get_command(context, name)
        assert command is not None
        for param in command.params:
            assert type(param.type) not in (click.Path, click.File), (name, param.name)
