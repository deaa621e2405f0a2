"""Floor 1, recipe. Matches globs over names in linear time. This module is pure.

`*` is any run of characters (including dots), `?` one character, `[0-9]` one of a class, `[!0-9]` one outside of it.
Users never write regular expressions. The one made here never reconsiders a stretch between two stars once it is placed
(atomic groups), so a hostile glob costs no more than a long one.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from dsv4recipe.errors import RecipeError
from dsv4recipe.recipe.nodes import short

MAX_GLOB = 512


def compile_glob(pattern: str) -> Callable[[str], bool]:
    """Returns a function that says whether a whole name matches. Raises RecipeError R032 for an unfinished or empty
    class, and for more than 512 characters."""
    problem, hint = glob_problem(pattern)
    if problem:
        raise RecipeError("R032", problem, hint=hint)
    if not _SIGNS.search(pattern):
        return pattern.__eq__
    match = re.compile(_translate(pattern), re.DOTALL).fullmatch
    return lambda name: match(name) is not None


def glob_problem(pattern: str) -> tuple[str, str]:
    """Returns what is wrong with a glob and how to fix it, or ("", "") if it is correct."""
    if not pattern:
        return "an empty glob matches nothing", 'write "*" for every name'
    if len(pattern) > MAX_GLOB:
        return f"the glob has {len(pattern)} characters; at most {MAX_GLOB} are allowed", "use * for the middle"
    for part in _PARTS.findall(pattern):
        if part in ("[", "[]", "[!]"):
            return (
                f'the [ in "{short(pattern)}" is never closed, or its class is empty',
                "write [[] for a bracket itself",
            )
        if part.startswith("[^"):
            return f'"{short(part)}" is not how a glob says "none of"', f"write [!{part[2:]}"
        if part[0] == "[":
            bad = next((each for each in _members(part) if len(each) == 3 and each[0] > each[2]), None)
            if bad:
                return f'the range {bad} in "{short(pattern)}" runs backwards', f"write {bad[2]}-{bad[0]}"
    return "", ""


_SIGNS = re.compile(r"[*?\[]")
_PARTS = re.compile(r"\*+|\?|\[!?\]?[^\]]*\]|\[|[^*?\[]+", re.DOTALL)
_MEMBERS = re.compile(r".-.|.", re.DOTALL)


def _members(part: str) -> list[str]:
    """ "[!a0-9]" → ["a", "0-9"]."""
    body = part[1:-1]
    return _MEMBERS.findall(body.removeprefix("!"))


def _class(part: str) -> str:
    body = "".join(
        "-".join(re.escape(end) for end in (m[0], m[2])) if len(m) == 3 else re.escape(m) for m in _members(part)
    )
    return f"[{'^' if part[1] == '!' else ''}{body}]"


def _translate(pattern: str) -> str:
    """Translates a glob. Each stretch between stars but the last is placed at its first fit and never moved again."""
    stretches = [""]
    for part in _PARTS.findall(pattern):
        if part[0] == "*":
            stretches.append("")
        elif part == "?":
            stretches[-1] += "."
        elif part[0] == "[":
            stretches[-1] += _class(part)
        else:
            stretches[-1] += re.escape(part)
    if len(stretches) == 1:
        return stretches[0]
    first, *middle, last = stretches
    return first + "".join(f"(?>.*?{stretch})" for stretch in middle) + ".*" + last
