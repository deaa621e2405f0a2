"""Floor 0, catalogue. Codes as text: a markdown page of docs/errors, and one code for a terminal. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dsv4recipe.catalogue.codes import Code, Page, Section

_LINK = re.compile(r"\[([^\]]*)\]\(([^)]*)\)")


def markdown_page(page: Page) -> str:
    """Returns the page as markdown."""
    parts = [f"# {page.title}", page.text]
    for section in page.sections:
        parts += [f"## {section.title}" if section.title else "", section.text]
        parts += _entries(section) if any(code.example for code in section.codes) else [_table(section.codes)]
        parts.append(section.after)
    made = f"<!-- Made from dsv4recipe/catalogue/{page.name}.yaml by `python scripts/generate.py`: edit that file. -->"
    return "\n\n".join(part for part in (*parts, made) if part) + "\n"


def _entries(section: Section) -> Iterator[str]:
    level = "###" if section.title else "##"
    for code in section.codes:
        yield f"{level} {code.code}: {code.title}"
        yield from (code.means, code.sees and f"What you would see: {code.sees}.")
        yield f"```\n{code.example}\n```" if code.example else ""
        yield f"What to do: {code.do}"


def _table(codes: tuple[Code, ...]) -> str:
    if not codes:
        return ""
    seen = any(code.sees for code in codes)
    head = ["code", "what is wrong", *(["what a user of the runtime sees"] * seen), "what to do"]
    rows = [[each.code, _wrong(each), *([each.sees] * seen), each.do] for each in codes]
    lines = [[f" {_cell(cell)} " for cell in line] for line in (head, *rows)]
    lines.insert(1, ["---"] * len(head))
    return "\n".join(f"|{'|'.join(line)}|" for line in lines)


def _wrong(code: Code) -> str:
    return f"{code.title}. {code.means}" if code.means else code.title


def _cell(text: str) -> str:
    return text.replace("\n", " ").replace("|", "\\|")


def explain_code(code: Code, page: Page) -> str:
    """Returns what the catalogue has of one code, as plain text for a terminal."""
    parts = [f"{code.code}: {code.title}", code.means, code.sees and f"What you would see: {code.sees}"]
    parts = [_LINK.sub(_plain, part) for part in (*parts, f"What to do: {code.do}")]
    parts += [code.example and f"Example:\n\n{code.example}", f"All codes of this kind: docs/errors/{page.name}.md"]
    return "\n\n".join(filter(None, parts))


def _plain(link: re.Match[str]) -> str:
    target = link[2]
    if "://" in target:
        return f"{link[1]} ({target})"
    return f"docs/{target.removeprefix('../')}" if target.startswith("../") else f"docs/errors/{target}"
