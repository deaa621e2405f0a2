"""Floor 4, evaluation. Figures that come with the package: what recipes lose on the yardstick. Reads one file.

`python -m benchmarks.quality` measures them and writes it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("yardstick.json")
YARDSTICK = "the yardstick, a small trained DeepSeek-V4"


@cache
def measured() -> Mapping[str, Any]:
    """Returns the file: `source`, `text`, `versions`, and `recipes` by name."""
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def is_yardstick(source: Mapping[str, Any]) -> bool:
    """Tells whether the source of an evidence file is the yardstick, by its headers and some of its weights."""
    mine = measured()["source"]
    return all(source.get(key) == mine[key] for key in ("header_digest", "weights_digest"))


def how(name: str) -> str:
    """Says what was measured in the place of a shipped recipe that cannot be measured as it is, or why nothing was; ""
    where it was itself."""
    row = measured()["recipes"].get(name)
    return str(row["how"] if row else measured()["not"].get(name, "it was not measured"))
