"""Every document that the runtimes and the verifier cite is in this repository and has the heading that is named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CITED = re.compile(r"(docs/[\w./-]+\.md)((?:,?(?: and)?\s+\"[^\"\n]+\")*)")
ROOMS = ("runtimes", "verifier")
MODULES = sorted(path for room in ROOMS for path in (ROOT / "dsv4recipe" / room).rglob("*.py"))


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
