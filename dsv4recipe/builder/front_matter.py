"""Floor 4, builder. Writes the front matter of a card as YAML that all readers understand alike. This module is pure.

The hub reads YAML 1.1 in some places and 1.2 in others. Text that either of them would read as a number, a date, a
boolean or null is put in quotes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from dsv4recipe.recipe.scalars import resolve

_TRUTHS_OF_1_1 = {"y", "n"}
"""PyYAML leaves these two without quotes, but YAML 1.1 counts them among its booleans."""


class _Dumper(yaml.SafeDumper):
    """Quotes what YAML 1.2 would misread; PyYAML itself quotes what YAML 1.1 would misread."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = '"' if not value.isprintable() else None if _same_in_1_2(value) else "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


def _same_in_1_2(value: str) -> bool:
    try:
        return value.lower() not in _TRUTHS_OF_1_1 and resolve(value) == value
    except ValueError:
        return False


_Dumper.add_representer(str, _text)


def front_matter(fields: Mapping[str, Any]) -> str:
    """Returns the lines from --- to ---, without a final newline. Keys keep their order."""
    text = yaml.dump(dict(fields), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1 << 20)
    return f"---\n{text}---"
