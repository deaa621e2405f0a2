"""Floor 6, cli. Findings as SARIF 2.1.0, which code hosts show beside the lines of a pull request. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dsv4recipe.catalogue.codes import find_code
from dsv4recipe.errors import Diagnostic, RecipeError
from dsv4recipe.version import VERSION

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {"error": "error", "warning": "warning"}


def sarif(found: Iterable[Diagnostic]) -> dict[str, Any]:
    """Returns the document of a run. Lines and columns count from 1, as in SARIF's default column kind for text files
    of code points."""
    findings = list(found)
    codes = sorted({each.code for each in findings})
    driver = {"name": "dsv4recipe", "version": VERSION, "rules": [_rule(code) for code in codes]}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(each, codes.index(each.code)) for each in findings],
    }
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(code: str) -> dict[str, Any]:
    try:
        entry, _ = find_code(code)
    except RecipeError:  # of a package that adds a runtime
        return {"id": code}
    return {"id": code, "shortDescription": {"text": entry.title}, "help": {"text": entry.do}}


def _result(found: Diagnostic, rule: int) -> dict[str, Any]:
    where = found.where
    text = found.message + (f"\n{found.hint}" if found.hint else "")
    result: dict[str, Any] = {
        "ruleId": found.code,
        "ruleIndex": rule,
        "level": _LEVELS.get(found.severity, "note"),
        "message": {"text": text},
    }
    if where.file:
        place: dict[str, Any] = {"artifactLocation": {"uri": where.file.removeprefix("./")}}
        if where.line:
            place["region"] = {
                "startLine": where.line, "startColumn": max(1, where.column), "endColumn": where.column + where.length
            }  # fmt: skip
        result["locations"] = [{"physicalLocation": place}]
    return result
