"""Floor 1, hub. Parses the address of a repository: hf://org/repo@revision, or a plain org/repo. This module is
pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dsv4recipe.errors import RecipeError, Where

SCHEME = "hf://"
_NAME = r"(?!.*(?:--|\.\.))[A-Za-z0-9_](?:[\w.-]{0,94}[A-Za-z0-9_])?"
_PLAIN = re.compile(rf"(?P<repo>{_NAME}/{_NAME})(?:@(?P<revision>[^\s@]{{1,255}}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Address:
    """A repository at a revision: a branch, a tag, or a commit of 40 hexadecimal digits; "" is its main branch."""

    repo: str
    revision: str = ""

    def __str__(self) -> str:
        return f"{SCHEME}{self.repo}@{self.revision}" if self.revision else f"{SCHEME}{self.repo}"


def parse_address(text: str) -> Address | None:
    """Returns the repository that `text` names, or None if it may only be a path. Raises RecipeError H001 for an
    invalid hf:// address."""
    found = _PLAIN.fullmatch(text.removeprefix(SCHEME))
    if found is not None:
        return Address(found["repo"], found["revision"] or "")
    if text.startswith(SCHEME):
        hint = "write hf://org/repo, or hf://org/repo@ and a branch, tag or commit"
        raise RecipeError("H001", f"{text!r:.300} is not the address of a repository on the hub", Where(), hint)
    return None
