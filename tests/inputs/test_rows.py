"""Every row of docs/reference/inputs.md is shown by a test that is there."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.inputs.rows import ROWS

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "reference" / "inputs.md"


def rows() -> list[str]:
    lines = PAGE.read_text(encoding="utf-8").partition("## How this is shown")[0].splitlines()
    return [line[2:] for line in lines if line.startswith("| ") and not line.startswith("| what you bring |")]


def test_every_row_has_its_tests_and_no_test_stands_for_a_row_that_is_gone() -> None:
    unshown = [row[:60] for row in rows() if sum(row.startswith(words) for words in ROWS) != 1]
    assert unshown == []
    assert [words for words in ROWS if not any(row.startswith(words) for row in rows())] == []


def test_those_tests_are_there() -> None:
    named = {name for names in ROWS.values() for name in names}
    functions = {
        f"{file}::{each.name}"
        for file in {name.partition("::")[0] for name in named}
        for each in ast.parse((ROOT / file).read_text(encoding="utf-8")).body
        if isinstance(each, ast.FunctionDef)
    }
    assert named - functions == set()
