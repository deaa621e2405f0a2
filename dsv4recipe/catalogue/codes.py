"""Floor 0, catalogue. Reads the codes of a page: title, meaning, what a user would see, what to do, an example.

A page of docs/errors is made of each file here (`python scripts/generate.py`). Texts are markdown; links are
relative to docs/errors. Reads files of the package.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from dsv4recipe.errors import NOWHERE, RecipeError, did_you_mean

_FOLDER = Path(__file__).parent
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The one in C is ten times faster, and not everywhere there."""


@dataclass(frozen=True, slots=True)
class Code:
    """One code. `title` says what is wrong in one phrase and `do` what to do about it. Where they are not empty,
    `means` explains more, `sees` says what a user of the runtime would see, and `example` is a real message."""

    code: str
    title: str
    do: str
    means: str = ""
    sees: str = ""
    example: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """Codes that stand together on a page, with the text before and after them."""

    title: str
    text: str
    codes: tuple[Code, ...]
    after: str


@dataclass(frozen=True, slots=True)
class Page:
    """One page of docs/errors: `name` is that of its file, `title` its heading."""

    name: str
    title: str
    text: str
    sections: tuple[Section, ...]

    @property
    def codes(self) -> Iterator[Code]:
        return (code for section in self.sections for code in section.codes)


def page_names() -> tuple[str, ...]:
    """Returns the names of all pages, sorted: the letter of their codes, with a part behind it where there are two."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))


@cache
def read_page(name: str) -> Page:
    """Returns the page of that name."""
    data = yaml.load((_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"), _LOADER)
    return Page(name, data["page"], data.get("text", ""), tuple(map(_section, data["sections"])))


def _section(data: dict[str, Any]) -> Section:
    codes = tuple(Code(code, **entry) for code, entry in data.get("codes", {}).items())
    return Section(data.get("title", ""), data.get("text", ""), codes, data.get("after", ""))


def find_code(code: str) -> tuple[Code, Page]:
    """Returns what the catalogue has of a code, and its page. Raises RecipeError U020 for an unknown code."""
    wanted = code.upper()
    pages = [read_page(name) for name in page_names() if name[:1] == wanted[:1]]
    for page in pages:
        for each in page.codes:
            if each.code == wanted:
                return each, page
    known = [each.code for page in pages for each in page.codes]
    hint = did_you_mean(wanted, known) if known else "codes look like P003; the first word of an error shows it"
    raise RecipeError("U020", f'no error has the code "{code[:80]}"', NOWHERE, hint)


@cache
def seen_by_users(letter: str) -> dict[str, str]:
    """Returns code → what a user of the runtime would see, of the codes with that letter that say it."""
    pages = (read_page(name) for name in page_names() if name.startswith(letter))
    return {each.code: each.sees for page in pages for each in page.codes if each.sees}
