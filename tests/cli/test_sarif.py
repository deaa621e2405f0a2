"""SARIF from `check`: what a code host shows beside the lines of a pull request."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dsv4recipe.cli.main import run
from tests.recipe.test_cases import CASES


def test_every_finding_has_its_place_and_its_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(CASES / "many.yaml", tmp_path)
    assert run(["check", "q4q8", "many.yaml", "--format", "sarif"]) == 1
    printed = capsys.readouterr()
    assert printed.err == ""
    data = json.loads(printed.out)
    assert data["version"] == "2.1.0"
    (one,) = data["runs"]
    rules = [rule["id"] for rule in one["tool"]["driver"]["rules"]]
    assert rules == ["R007", "R023"]
    assert all(rule["shortDescription"]["text"] for rule in one["tool"]["driver"]["rules"])
    lines = (tmp_path / "many.yaml").read_text(encoding="utf-8").splitlines()
    for result in one["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]
        assert result["level"] == "error"
        place = result["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uri"] == "many.yaml"
        region = place["region"]
        marked = lines[region["startLine"] - 1][region["startColumn"] - 1 : region["endColumn"] - 1]
        assert marked
        if result["ruleId"] == "R023":
            assert marked in result["message"]["text"]


def test_sound_recipes_have_no_results(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "q4q8", "native", "--format", "sarif"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"][0]["results"] == []
