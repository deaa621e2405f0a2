"""Writes what is made of data in the code: the JSON schema of build events, and the pages of error codes.

    python scripts/generate.py

Tests fail while a generated file is not what this writes.
"""

from __future__ import annotations

import json
from pathlib import Path

from dsv4recipe.builder.events import events_schema

ROOT = Path(__file__).parent.parent


def generated() -> dict[Path, str]:
    """File → text."""
    return {ROOT / "schemas/events.schema.json": json.dumps(events_schema(), indent=2, ensure_ascii=False) + "\n"}


if __name__ == "__main__":
    for file, text in generated().items():
        file.write_text(text, encoding="utf-8")
        print(file.relative_to(ROOT))
