"""Floor 0. Diagnostics as data: they say what is wrong, where, and what to do. Imports no other module of the package.

A diagnostic is data; text and JSON are renderings of it. `RecipeError` carries one or many, so that a user sees
every problem of a recipe or checkpoint at once and not only the first.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from unicodedata import combining, east_asian_width


@dataclass(frozen=True, slots=True, order=True)
class Where:
    """A place in the input: a span of a text file, a whole file, or a named thing (tensor, module, rule).

    `line` and `column` count from 1, in characters; 0 means that there is no position. `length` is the number of
    characters that the caret underlines. `text` is the line itself.
    """

    file: str = ""
    line: int = 0
    column: int = 0
    length: int = 1
    text: str = ""
    subject: str = ""

    def __str__(self) -> str:
        place = self.file
        if self.line:
            place += f":{self.line}:{self.column}"
        return ": ".join(part for part in (place, self.subject) if part)


NOWHERE = Where()


_NOTES = 20
"""How many notes the text form shows; JSON has them all."""
_EXCERPT = 100
"""How many characters of a line the text form shows; a longer line is cut around the span."""


def _excerpt(where: Where, room: int) -> tuple[str, str]:
    """Returns the line (shortened if it is long) and the carets under its span. Positions count terminal columns, so
    wide and combining characters are allowed for."""
    text, start, length = where.text.replace("\t", " "), where.column - 1, max(1, where.length)
    if len(text) > room + 20 or (len(text) > room and room != _EXCERPT):
        first = max(0, min(start - 20, len(text) - room))
        head, tail = "…" * (first > 0), "…" * (first + room < len(text))
        text, start = head + text[first : first + room] + tail, start - first + len(head)
        length = max(1, min(length, len(text) - start))
    return text, " " * _width(text[:start]) + "^" * max(length, _width(text[start : start + length]))


def _width(text: str) -> int:
    return sum(0 if combining(each) else 2 if east_asian_width(each) in "WF" else 1 for each in text)


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One error or warning. `code` is stable and documented in docs/errors. `severity` is "error" or "warning". `sees`
    says what a user of the runtime would see because of it."""

    code: str
    message: str
    where: Where = NOWHERE
    hint: str = ""
    severity: str = "error"
    notes: tuple[str, ...] = ()
    sees: str = ""

    def render(self, room: int = _EXCERPT) -> str:
        """Returns the text form: the message, the place, the line with a caret, the notes and the hint. `room` is how
        many characters of that line are shown."""
        lines = [f"{self.severity}[{self.code}]: {self.message}"]
        place = str(self.where)
        if place:
            lines.append(f"  --> {place}")
        if self.where.line:
            number = str(self.where.line)
            pad = " " * len(number)
            source, caret = _excerpt(self.where, room)
            lines += [f"{pad} |", f"{number} | {source}", f"{pad} | {caret}"]
        lines += [f"   = {note}" for note in self.notes[:_NOTES]]
        if len(self.notes) > _NOTES:
            lines.append(f"   = and {len(self.notes) - _NOTES:,} more (--json lists them all)")
        if self.sees:
            lines.append(f"   = you see: {self.sees}")
        if self.hint:
            lines.append(f"   = help: {self.hint}")
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class RecipeError(Exception):
    """An error with its reasons: `RecipeError(code, message, where, hint)`, or several with `RecipeError.of`."""

    diagnostics: tuple[Diagnostic, ...]

    def __init__(self, code: str, message: str, where: Where = NOWHERE, hint: str = "", notes: Sequence[str] = ()):
        self.diagnostics = (Diagnostic(code, message, where, hint, notes=tuple(notes)),)
        super().__init__(message)

    @classmethod
    def of(cls, diagnostics: Iterable[Diagnostic]) -> RecipeError:
        found = tuple(diagnostics)
        error = cls(found[0].code, found[0].message)
        error.diagnostics = found
        return error

    def __str__(self) -> str:
        return "\n\n".join(d.render() for d in self.diagnostics)


class NotInstalledError(RecipeError):
    """Something that a command needs is not installed on this machine. The exit code is 4, so that nobody takes it
    for a failed proof."""


@dataclass(slots=True)
class Problems:
    """Collects diagnostics. `raise_if_any` raises all errors at once, sorted by place."""

    found: list[Diagnostic] = field(default_factory=list)

    def error(self, code: str, message: str, where: Where = NOWHERE, hint: str = "", notes: Sequence[str] = ()) -> None:
        self.found.append(Diagnostic(code, message, where, hint, notes=tuple(notes)))

    def warn(self, code: str, message: str, where: Where = NOWHERE, hint: str = "", notes: Sequence[str] = ()) -> None:
        self.found.append(Diagnostic(code, message, where, hint, "warning", tuple(notes)))

    @property
    def errors(self) -> list[Diagnostic]:
        return sorted((d for d in self.found if d.severity == "error"), key=lambda d: d.where)

    @property
    def warnings(self) -> list[Diagnostic]:
        return [d for d in self.found if d.severity == "warning"]

    def raise_if_any(self) -> None:
        if self.errors:
            raise RecipeError.of(self.errors)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Returns 'did you mean "x"?' with the nearest known word, or the list of known words if none is near."""
    words = sorted(known)
    near = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    if near:
        return f'did you mean "{near[0]}"?'
    return "known: " + ", ".join(words) if words else ""
