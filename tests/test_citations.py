"""Every document that the runtimes and the verifier cite is in this repository and has the heading that is named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CITED = re.compile(r"(docs/[\w./-]+\.md)((?:,?(?: and)?\s+\"[^\"\n]+\")*)")
BEFORE = re.compile(r"^\| [^|\n]+ \|[^|\n]+\|(?=[^|\n]*\|)", re.MULTILINE)
"""The first two columns of a table: what was touched before may be gone."""
PLACES = ("", "dsv4recipe", "dsv4recipe/verifier", "dsv4recipe/verifier/runtime")
ROOMS = ("runtimes", "verifier")
MODULES = sorted(path for room in ROOMS for path in (ROOT / "dsv4recipe" / room).rglob("*.py"))


def test_every_document_and_module_that_is_named_is_there() -> None:
    """In the whole package by paths of documents; in the map of the house and the page for contributors by any path."""
    for path in (ROOT / "dsv4recipe").rglob("*.py"):
        for document, _ in CITED.findall(path.read_text(encoding="utf-8")):
            assert (ROOT / document).is_file(), f"{path.name} cites {document}"
    for page in ("ARCHITECTURE.md", "CONTRIBUTING.md"):
        named = re.findall(r"`([\w/<>-]+(?:\.py|\.md|/))`", BEFORE.sub("", (ROOT / page).read_text(encoding="utf-8")))
        assert len(named) > 3
        for name in named:
            stands = name.replace("<name>", "vmlx" if "runtimes" in name else "report").replace("<kind>", "affine")
            there = any((ROOT / place / stands).exists() for place in PLACES)
            assert there or ("/" not in stands and [*ROOT.rglob(f"dsv4recipe/**/{stands}")]), f"{page} names {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_cited_document_is_there_with_its_heading(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for document, headings in CITED.findall(text):
        assert (ROOT / document).is_file(), f"{path.name} cites {document}"
        page = (ROOT / document).read_text(encoding="utf-8")
        for heading in re.findall(r"\"([^\"\n]+)\"", headings):
            assert re.search(rf"^#+ {re.escape(heading)}$", page, re.MULTILINE), f"{path.name}: {document}, {heading}"
    assert "fact sheet" not in text
    assert not re.search(r"\((?:mlx|vmlx|checkpoint|ds4_gguf)\.md", text)
