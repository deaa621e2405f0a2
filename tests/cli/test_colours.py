"""Colours: on a terminal, by --color before or behind the command, never with NO_COLOR, and never in the words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dsv4recipe.cli.main import run

ANSI = re.compile(r"\x1b\[[0-9;]*m")
RED, GREEN, YELLOW, CYAN = "31", "32", "33", "36"


def coloured(text: str, colour: str, word: str) -> bool:
    """Whether a word stands in a colour."""
    return re.search(rf"\x1b\[(?:[0-9]+;)*{colour}(?:;[0-9]+)*m(?:\x1b\[[0-9;]*m)*{re.escape(word)}", text) is not None


@pytest.fixture
def broken(tmp_path: Path) -> str:
    file = tmp_path / "broken.yaml"
    file.write_text("recipe: 1\nname: x\nextends: q4q9\n", encoding="utf-8")
    return str(file)


def test_severity_has_its_colour(broken: str, tiny_source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--color", "always", "check", broken]) == 1
    assert coloured(capsys.readouterr().err, RED, "error[R050]")
    assert run(["plan", "q4q8", "--source", str(tiny_source), "--color", "always"]) == 0
    assert coloured(capsys.readouterr().err, CYAN, "advice[L001]")


def test_added_removed_and_changed_have_theirs(tiny_source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["diff", "q4q8", "native", "--source", str(tiny_source), "--color", "always"]) == 0
    assert coloured(capsys.readouterr().out, YELLOW, "~")


def test_ok_and_failed_have_theirs(q4q8_bundle: Path, spoiled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", str(q4q8_bundle), "--color", "always"]) == 0
    out = capsys.readouterr().out
    assert coloured(out, GREEN, "ok")
    assert coloured(out, GREEN, "verified")
    (spoiled / "config.json").write_text("{}", encoding="utf-8")
    assert run(["verify", str(spoiled), "--color", "always"]) == 3
    assert coloured(capsys.readouterr().out, RED, "FAILED")


def test_without_a_terminal_there_are_none(
    broken: str, tiny_source: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(["check", broken]) == 1
    assert run(["diff", "q4q8", "native", "--source", str(tiny_source)]) == 0
    printed = capsys.readouterr()
    assert not ANSI.search(printed.out + printed.err)
    monkeypatch.setenv("NO_COLOR", "1")
    assert run(["check", broken, "--color", "always"]) == 1
    assert ANSI.search(capsys.readouterr().err), "the option is nearer than the variable"


def test_the_words_are_the_same_with_colours(tiny_source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    for choice in ("never", "always"):
        assert run(["diff", "q4q8", "native", "--source", str(tiny_source), "--color", choice]) == 0
        said.append(ANSI.sub("", capsys.readouterr().out))
    assert said[0] == said[1]
