"""Floor 1, recipe. Makes PyYAML's pure-Python scanner and parser strict. This module is pure.

The C loader is never used: the two disagree about tabs, and libyaml's crashes on deep input. Features that recipes do
not have (anchors, aliases, tags, directives, deep nesting) are refused at their first character, where the position is
still known.
"""

from __future__ import annotations

from typing import Any

from yaml.error import Mark
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.scanner import Scanner
from yaml.tokens import ScalarToken, Token

MAX_DEPTH = 32
TOO_DEEP = "no field of a recipe is deeper than six levels: delete the brackets that are too many"


class RefusedError(Exception):
    """A YAML feature that recipes do not have; `what` is one of anchor, alias, tag, directive, depth."""

    def __init__(self, what: str, mark: Mark):
        self.what = what
        self.mark = mark
        super().__init__(what)


class Events(Reader, Scanner, Parser):
    """Yields the events of one text by `get_event`. Raises RefusedError and yaml.YAMLError when the parser gets there.

    `scalar` is the last plain scalar before a scanner's error, at which the translated message points.
    """

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        self.scalar: ScalarToken | None = None
        self._open: list[Mark] = []
        self._closed: list[tuple[int, int]] = []

    def opened(self, index: int) -> tuple[int, int] | None:
        """Returns the span of the flow collection that closes last before an index."""
        return next((span for span in reversed(self._closed) if span[1] <= index), None)

    def scan_plain(self) -> Any:
        self.scalar = super().scan_plain()
        return self.scalar

    def fetch_flow_collection_start(self, token: type[Token]) -> None:
        if self.flow_level >= MAX_DEPTH:
            raise RefusedError("depth", self.get_mark())
        self._open.append(self.get_mark())
        super().fetch_flow_collection_start(token)

    def fetch_flow_collection_end(self, token: type[Token]) -> None:
        super().fetch_flow_collection_end(token)
        if self._open:
            self._closed.append((self._open.pop().index, self.index))

    def fetch_anchor(self) -> None:
        raise RefusedError("anchor", self.get_mark())

    def fetch_alias(self) -> None:
        raise RefusedError("alias", self.get_mark())

    def fetch_tag(self) -> None:
        raise RefusedError("tag", self.get_mark())

    def fetch_directive(self) -> None:
        raise RefusedError("directive", self.get_mark())
