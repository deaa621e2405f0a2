"""Documents hold together: every relative link leads somewhere, and the index lists every page."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\]\(([^)\s]+)\)")
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def links(page: Path) -> list[str]:
    """Relative links of a page, without anchors; what stands in code is none."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    found = (link.partition("#")[0] for link in LINK.findall(text))
    return [link for link in found if link and not re.match(r"[a-z]+:", link)]


def test_every_link_of_a_document_leads_somewhere() -> None:
    dead = [f"{page.relative_to(ROOT)}: {link}" for page in PAGES for link in links(page) if not leads(page, link)]
    assert dead == []


def leads(page: Path, link: str) -> bool:
    return (page.parent / link).exists()


def test_no_figures_are_kept_twice() -> None:
    files = [path for path in (ROOT / "docs").rglob("*") if path.suffix in (".json", ".svg")]
    assert len(files) > 5
    assert len({path.read_bytes() for path in files}) == len(files)


def test_the_index_lists_every_page() -> None:
    index = ROOT / "docs" / "index.md"
    listed = {(index.parent / link).resolve() for link in links(index)}
    missing = {page for page in PAGES if "docs" in page.parts and not {page, page.parent} & listed} - {index}
    assert {page.name for page in missing} == set()
