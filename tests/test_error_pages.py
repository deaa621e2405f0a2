"""Every code that the program uses is in the catalogue and the other way round; docs/errors is made of it."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

import dsv4recipe
from dsv4recipe.catalogue.codes import find_code, page_names, read_page
from dsv4recipe.catalogue.page import explain_code
from dsv4recipe.cli.main import run
from scripts.generate import generated

PACKAGE = Path(dsv4recipe.__file__).parent
PAGES = Path(__file__).parent.parent / "docs" / "errors"
QUOTED = re.compile(r'["\[]([A-Z]\d{3})["\]]')
CODES = [code for name in page_names() for code in read_page(name).codes]


def test_every_code_is_in_the_catalogue_and_every_entry_is_a_code() -> None:
    used = {code for path in PACKAGE.rglob("*.py") for code in QUOTED.findall(path.read_text(encoding="utf-8"))}
    known = {each.code for each in CODES}
    assert used - known == set()
    assert known - used == set()
    assert [code for code, count in Counter(each.code for each in CODES).items() if count > 1] == []


def test_pages_are_what_the_generator_writes() -> None:
    pages = {file: text for file, text in generated().items() if file.parent.name == "errors"}
    assert set(pages) == set(PAGES.glob("*.md"))
    for file, text in pages.items():
        assert file.read_text(encoding="utf-8") == text, f"{file.name}: run `python scripts/generate.py`"


def test_every_code_stands_on_the_page_of_its_letter_and_says_what_to_do() -> None:
    for name in page_names():
        for code in read_page(name).codes:
            assert code.code[0] == name[0]
            assert code.title
            assert code.do


def test_a_code_is_explained_in_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--explain", "r004"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("R004: a key is written twice\n\n")
    assert "3 | name: other\n  | ^^^^" in shown
    assert "docs/errors/R.md" in shown


def test_links_of_a_page_are_paths_in_the_terminal() -> None:
    shown = "\n".join(explain_code(*find_code(code.code)) for code in CODES)
    assert "docs/reference/family.md" in shown
    assert "](" not in shown


def test_an_unknown_code_is_refused_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--explain", "P0033"]) == 1
    assert "error[U020]" in (shown := capsys.readouterr().err)
    assert 'did you mean "P0' in shown
