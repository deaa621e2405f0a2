"""`run`: the whole way, with the hub and the server as stand-ins on loopback; run again, it repeats nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from huggingface_hub import constants

from dsv4recipe.answers import servers
from dsv4recipe.cli.main import run
from tests.answers.test_servers import nothing_left, stand_in
from tests.hub.conftest import hub
from tests.hub.server import Hub

__all__ = ["hub", "nothing_left"]


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A server that knows one sum, and a file that asks for it."""
    monkeypatch.setitem(servers.servers(), "stand-in", stand_in("good"))
    monkeypatch.setenv("DSV4RECIPE_STAND_IN_PYTHON", sys.executable)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    file = tmp_path / "questions.yaml"
    file.write_text('- ask: What is 17+28?\n  expect: "45"\n')
    return file


def test_the_whole_way_and_again(
    hub: Hub, answering: Path, tiny_source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "bundle"
    command = ["run", "q4q8", "--source", str(tiny_source), "-o", str(out), "--runtime", "stand-in"]
    command += ["--questions", str(answering), "--push", "org/bundle"]
    assert run(command) == 0
    said = capsys.readouterr().out
    assert [line.split()[2] for line in said.splitlines() if line.startswith("$ dsv4recipe")] == [
        "check", "plan", "build", "verify", "push",
    ]  # fmt: skip
    assert "1 answer, 1 as expected" in said
    assert set(hub.repos["org/bundle"].commits[hub.repos["org/bundle"].branches["main"]]) == {
        path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()
    }
    written = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert run(command) == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == written
    assert hub.kept.commits == 1


def test_a_wrong_answer_is_not_published(hub: Hub, answering: Path, tiny_source: Path, tmp_path: Path) -> None:
    answering.write_text('- ask: What is 17+28?\n  expect: "46"\n')
    command = ["run", "q4q8", "--source", str(tiny_source), "-o", str(tmp_path / "out"), "--runtime", "stand-in"]
    assert run([*command, "--questions", str(answering), "--push", "org/bundle"]) == 3
    assert not hub.repos


def test_verify_asks_last(tiny_source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "out")
    assert run(["build", "q4q8", "--source", str(tiny_source), "-o", out]) == 0
    capsys.readouterr()
    assert run(["verify", out, "--runtime", "no-such", "--ask"]) in (1, 4)
    assert run(["verify", out, "--ask", "--questions", "absent.yaml"]) == 1
    assert "S007" in capsys.readouterr().err
