"""Floor 4, verifier. Adds to each finding what a user of the runtime sees of it, as the catalogue of codes has it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from dsv4recipe.catalogue.codes import seen_by_users
from dsv4recipe.errors import Diagnostic


def told(findings: Iterable[Diagnostic]) -> Iterator[Diagnostic]:
    """Returns the findings, each with what a user sees of it."""
    return (replace(f, sees=seen_by_users("V").get(f.code, "")) if not f.sees else f for f in findings)
