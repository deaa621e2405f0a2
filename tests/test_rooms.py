"""Rooms stay small, and the four rooms of the verifier do not look into each other."""

from __future__ import annotations

import re
from pathlib import Path
from statistics import median

import pytest

import dsv4recipe

ROOT = Path(dsv4recipe.__file__).parent
VERIFIER = ("integrity", "contract", "numbers", "runtime")
SHARE = 0.12
"""No room holds more of the house."""
LONGEST = 300
MEDIAN = 90
"""Lines of a module."""
IMPORT = re.compile(r"^\s*(?:from|import) dsv4recipe\.verifier\.(\w+)", re.MULTILINE)


def lines(folder: Path) -> int:
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in folder.rglob("*.py"))


def rooms() -> list[Path]:
    """The folders of the package. The verifier is four rooms, and each format is a folder of its own: they count
    instead of the folder around them."""
    around = ("verifier", "formats")
    found = [path for path in ROOT.iterdir() if path.is_dir() and any(path.glob("*.py")) and path.name not in around]
    return sorted([*found, *(inner for name in around for inner in (ROOT / name).iterdir() if inner.is_dir())])


def test_no_room_is_larger_than_an_eighth_of_the_house() -> None:
    whole = lines(ROOT)
    assert {path.name: lines(path) for path in rooms() if lines(path) > SHARE * whole} == {}


@pytest.mark.parametrize("name", VERIFIER)
def test_a_room_of_the_verifier_does_not_import_another(name: str) -> None:
    place = ROOT / "verifier" / name
    for path in place.rglob("*.py") if place.is_dir() else [place.with_suffix(".py")]:
        imported = re.findall(
            r"^\s*(?:from|import) dsv4recipe\.verifier\.(\w+)", path.read_text(encoding="utf-8"), re.M
        )
        assert set(imported) & set(VERIFIER) <= {name}, path.name


def test_modules_are_short() -> None:
    sizes = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in ROOT.rglob("*.py")}
    assert {path.name: size for path, size in sizes.items() if size > LONGEST and "kernels" not in path.parts} == {}
    assert median(sizes.values()) <= MEDIAN
