"""Every help in the suite of broken recipes is carried out, and the recipe then passes or fails for another reason."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml

from dsv4recipe.errors import RecipeError
from dsv4recipe.recipe import load_recipe
from tests.mends import mended
from tests.recipe.test_cases import CASES, NAMES

CHOSEN = yaml.safe_load((CASES.parent / "mends.yaml").read_text(encoding="utf-8"))
"""What an author chose where a help leaves a choice."""
SOUND = """\
recipe: 1
name: case
extends: q4q8
"""


@pytest.fixture
def cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = Path(shutil.copytree(CASES, tmp_path / "cases"))
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_the_help_carried_out_ends_the_error(name: str, cases: Path) -> None:
    file = Path(f"{name}.yaml")
    with pytest.raises(RecipeError) as refused:
        load_recipe(file)
    first = refused.value.diagnostics[0]
    assert first.hint, "an author is left alone with the message"
    raw = file.read_bytes()
    chosen = CHOSEN.get(name)
    match chosen:
        case None:
            new = mended(raw.decode(), first)
            assert new is not None, f"nobody knows what to do about: {first.hint}"
        case "whole":  # `init` writes one anew
            new = SOUND
        case "as utf-8":
            new = raw.decode("utf-16" if name == "utf-16" else "latin-1")
        case [old, replacement]:
            new, count = re.subn(re.escape(old).replace(r"9\+", "9+"), lambda _: replacement, raw.decode(), count=1)
            assert count
        case _:
            raise AssertionError(chosen)
    file.write_bytes(new.encode())
    try:
        load_recipe(file)
    except RecipeError as error:
        left = {(each.code, each.message) for each in error.diagnostics}
        assert (first.code, first.message) not in left


def test_choices_are_of_cases_that_are_there() -> None:
    assert set(CHOSEN) <= set(NAMES)
    assert len(NAMES) - len(CHOSEN) >= 45, "most helps should give the exact text"
