"""Floor 3, allocation. Holds relative squared errors by module and format: measured, from a file, or synthetic. Reads
and writes JSON files.

A document is {"format_version": 1, "kind": "measured" or "synthetic", "evidence": "…", "errors": {KEY: {FORMAT:
error}}}. KEY is the source name of a module ("layers.0.ffn.experts.{0-255}.w1.weight"), a kind of module ("fp4
routed-expert gate"), or how a source is stored ("fp4"). A module uses the first of the three that has its format.
FORMAT is `Format.error_key`.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dsv4recipe.checkpoint.graph import Group
from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.formats import Format
from dsv4recipe.headers.strict_json import read_object

SYNTHETIC = Path(__file__).parent / "synthetic.json"
_LIMIT = 64 << 20
_HINT = "`dsv4recipe allocate … --write-errors FILE` writes such a table"


def kind_of(group: Group) -> str:
    """Returns the kind of a module, such as "fp4 routed-expert gate". Modules of one kind may share their errors."""
    return f"{group.source.stored} {group.slot.row.role} {group.slot.row.projection}".rstrip()


@dataclass
class ErrorTable:
    """A table of errors. `kind` is "measured" or "synthetic". `evidence` says where the figures come from. `used`
    records by module which of the three keys was used."""

    kind: str
    evidence: str
    errors: Mapping[str, Mapping[str, float]]
    used: dict[str, str] = field(default_factory=dict)

    def of(self, group: Group, fmt: Format) -> float | None:
        """Returns Σ(ŵ−w)²/Σw² of a module in a format: 0 if the format is lossless, None if the table lacks it."""
        if group.lossless(fmt):
            return 0.0
        name = fmt.error_key
        for level, key in (("name", group.names), ("kind", kind_of(group)), ("storage", group.source.stored)):
            value = self.errors.get(key, {}).get(name)
            if value is not None:
                self.used[group.names] = level
                return value
        return None

    def words(self) -> str:
        """Returns the evidence, and how many modules were looked up by which key."""
        counts = Counter(self.used.values())
        said = {"name": "by name", "kind": "by the mean of their kind", "storage": "by how their source is stored"}
        parts = [f"{counts[level]:,} modules {text}" for level, text in said.items() if counts[level]]
        return f"{self.evidence}; {', '.join(parts)}" if len(parts) > 1 else self.evidence


def read_errors(path: Path) -> ErrorTable:
    """Returns a table from a file. Raises RecipeError A003 if it is not such a document."""
    data = read_object(path, _LIMIT, str(path), "A003", _HINT)[0]
    errors, evidence = data.get("errors"), data.get("evidence")
    known = data.get("format_version") == 1 and data.get("kind") in ("measured", "synthetic")
    if not (known and isinstance(errors, dict) and isinstance(evidence, str)):
        raise RecipeError("A003", "this is not a table of errors", Where(str(path)), _HINT)
    for key, row in errors.items():
        if not isinstance(row, dict) or not all(_figure(value) for value in row.values()):
            message = f"the errors of {key!r:.100} must be numbers of at least 0, one per format"
            raise RecipeError("A003", message, Where(str(path)), _HINT)
    return ErrorTable(data["kind"], evidence, errors)


def errors_text(table: ErrorTable) -> str:
    """Returns the table as a document that `read_errors` can read."""
    document = {"format_version": 1, "kind": table.kind, "evidence": table.evidence, "errors": table.errors}
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def _figure(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
