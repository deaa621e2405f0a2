"""`diff` for a review: markdown names every change, and the text form says how to see what it leaves out."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsv4recipe.cli.main import run


@pytest.fixture
def sides(tiny_source: Path) -> list[str]:
    return ["diff", "q4q8", "native", "--source", str(tiny_source)]


def test_markdown_is_a_table_with_every_group(capsys: pytest.CaptureFixture[str], sides: list[str]) -> None:
    assert run([*sides, "--format", "markdown"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("**q4q8 → native**: 6,517,360 B → ")
    assert "| `~` | `layers.{0-3}.ffn.experts.{0-7}.{w1,w2,w3} ×12` | affine 4-bit g32 | mxfp4 |" in out
    rows = [line for line in out.splitlines() if line.startswith("| `")]
    assert all(line.count("|") == 6 for line in rows)


def test_all_shows_what_one_screen_leaves_out(capsys: pytest.CaptureFixture[str], sides: list[str]) -> None:
    assert run(sides) == 0
    short = capsys.readouterr().out
    assert "--all shows them" in short
    assert run([*sides, "--all"]) == 0
    assert "more groups" not in capsys.readouterr().out
