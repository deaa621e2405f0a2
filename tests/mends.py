"""A reader who does what the help of a diagnostic says, and nothing else.

`mended` reads the sentence and edits the characters that the caret underlines. Where a sentence leaves a choice to the
author ("keep one of the two"), tests/cases/mends.yaml holds what was chosen.
"""

from __future__ import annotations

import re

from dsv4recipe.errors import Diagnostic

_FOR_THE_SPAN = (
    re.compile(r'did you mean "(?P<new>[^"]+)"\?'),
    re.compile(r"^write (?P<new>\S+) without quotes$"),
    re.compile(r"^quote (?:it|the glob|the text|it if it is text): (?P<new>.+)$"),
    re.compile(r'^write \S+, or (?P<new>".+") in quotes if it is text$'),
    re.compile(r"(?:^|[:;,] )write `?(?P<new>(?:[\w-]+: )?(?:[^\s`,;{]+|\{.*\}))`?(?:,| for every name|$)"),
)
_EXAMPLE = re.compile(r"^for example (?P<new>.+)$")


def mended(text: str, found: Diagnostic) -> str | None:
    """The recipe with the help of `found` carried out; None where the sentence gives no exact text to write."""
    where, lines = found.where, text.split("\n")
    if not where.line:
        return None
    row = where.line - 1
    before, after = lines[row][: where.column - 1], lines[row][where.column - 1 + where.length :]
    span = lines[row][where.column - 1 : where.column - 1 + where.length]
    example = _EXAMPLE.search(found.hint)
    if example:
        new = example["new"]
        if after.lstrip(": ").startswith("{"):  # a mapping in braces: the first of its entries
            at = after.index("{") + 1
            lines[row] = before + span + after[:at] + new + ", " * (after[at] != "}") + after[at:]
        else:  # a block: a line more, at the depth of the key
            lines.insert(row + 1, " " * len(before.replace("-", " ")) + new)
        return "\n".join(lines)
    if found.hint.startswith("delete it"):
        lines[row] = before + after
        return "\n".join(lines)
    if found.hint.startswith("delete the line"):
        del lines[row]
        return "\n".join(lines)
    for pattern in _FOR_THE_SPAN:
        hit = pattern.search(found.hint)
        if hit:
            lines[row] = _in_place(before, span, after, hit["new"])
            return "\n".join(lines)
    return None


def _in_place(before: str, span: str, after: str, new: str) -> str:
    """The line with `new` where it belongs: over the span, or, as `key: value`, over the value of that key or over
    both."""
    key, colon, value = new.partition(": ")
    if colon and re.fullmatch(r"[\w-]+", key):
        if re.search(rf"\b{re.escape(key)}: *$", before):
            return before + value + after
        if f"{key}: " in before + span:
            return (before + span)[: (before + span).rindex(f"{key}: ")] + new + after
        if span == key:
            return before + new + re.sub(r"^: *[^,}]*", "", after)
        return before + new + after
    quote = span[:1] if span[:1] in "\"'" and new[:1] not in "\"'" and not re.fullmatch(r"[\w.-]+", new) else ""
    return before + quote + new + quote + after
