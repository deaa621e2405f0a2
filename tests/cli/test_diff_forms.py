"""`diff` for a review: markdown names every change, and the text form says how to see what it leaves out."""

from __future__ import annotations

import json
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


def test_html_and_json_are_forms_too(capsys: pytest.CaptureFixture[str], sides: list[str]) -> None:
    assert run([*sides, "--format", "html"]) == 0
    page = capsys.readouterr().out
    assert page.startswith("<!doctype html>")
    assert "q4q8 → native" in page
    assert run([*sides, "--format", "json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["bytes_delta"] < 0


CHILD = "recipe: 1\nname: {name}\nextends: q4q8\nrules:\n{rules}"
EXPERTS = "  - {{id: routed-experts, match: {{role: routed-expert}}, format: {format}}}\n"
HEAD = "  - {id: head, match: {role: lm-head}, keep: source, before: everything-else}\n"


def test_two_variants_of_one_base_conflict_where_both_change(
    tmp_path: Path, tiny_source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def variant(name: str, rules: str) -> str:
        file = tmp_path / f"{name}.yaml"
        file.write_text(CHILD.format(name=name, rules=rules), encoding="utf-8")
        return str(file)

    mxfp4, three = EXPERTS.format(format="{mxfp4: {}}"), EXPERTS.format(format="{affine: {bits: 3, group-size: 32}}")
    mine = variant("mine", mxfp4 + HEAD)
    theirs, alike, other = variant("theirs", three), variant("alike", mxfp4), variant("other", HEAD)
    command = ["diff", "--source", str(tiny_source), "--base", "q4q8", mine]
    assert run([*command, theirs]) == 2
    out = capsys.readouterr().out
    assert "CONFLICT" in out
    assert "mxfp4" in out
    assert "affine 3-bit g32" in out
    assert "they conflict" in out
    assert run([*command, alike]) == 0
    assert "both change in the same way" in capsys.readouterr().out
    assert run([*command, other, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert not data["conflicting"]
    assert {change["pattern"] for change in data["alike"]["changed"]} == {"lm_head"}
