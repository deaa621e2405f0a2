"""`decompile` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dsv4recipe import load_recipe
from dsv4recipe.cli.main import run

Captured = pytest.CaptureFixture[str]


def test_a_bundle_becomes_a_recipe_file(capsys: Captured, q4q8_bundle: Path, tiny_source: Path, tmp_path: Path) -> None:
    out = tmp_path / "again.yaml"
    assert run(["decompile", str(q4q8_bundle), "-o", str(out), "--source", str(tiny_source)]) == 0
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == (f"wrote {out}\n", "")
    assert load_recipe(out).name == "q4q8"
    assert run(["diff", str(out), str(q4q8_bundle), "--source", str(tiny_source), "--exit-code"]) == 0
    assert run(["decompile", str(q4q8_bundle), "-o", str(out)]) == 1
    assert "error[U003]" in capsys.readouterr().err


def test_json_and_an_unknown_runtime(capsys: Captured, q4q8_bundle: Path, tmp_path: Path) -> None:
    assert run(["decompile", str(q4q8_bundle), "-o", str(tmp_path / "a.yaml"), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["rules"] == ["routed-expert", "everything-else", "control"]
    assert data["notes"] == []
    assert run(["decompile", str(q4q8_bundle), "-o", str(tmp_path / "b.yaml"), "--runtime", "nothing"]) == 1
    assert "error[T001]" in capsys.readouterr().err
    assert not (tmp_path / "b.yaml").exists()
