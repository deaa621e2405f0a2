"""Floor 1, formats. Lists every number format of this version. To add one, add a folder and a line here. This module is
pure."""

from __future__ import annotations

from typing import Any

from dsv4recipe.formats.affine.spec import Affine
from dsv4recipe.formats.base import Format, Stem
from dsv4recipe.formats.ggml.spec import Ggml
from dsv4recipe.formats.keep.spec import Keep
from dsv4recipe.formats.mxfp4.spec import Mxfp4
from dsv4recipe.formats.mxfp8.spec import Mxfp8
from dsv4recipe.formats.mxtq.spec import Mxtq

FORMATS: tuple[type[Format], ...] = (
    Affine,
    Mxfp4,
    Mxfp8,
    Mxtq,
    Ggml,
    Keep,
)
"""In the order of messages and of the schema's `format`."""


def format_class(kind: str) -> type[Format]:
    """Returns the class of a kind. Raises ValueError for a kind that no format of this version has."""
    for found in FORMATS:
        if kind == found.KIND:
            return found
    raise ValueError(f"no format is called {kind!r}; the known formats are {', '.join(each.KIND for each in FORMATS)}")


def from_spec(spec: dict[str, Any]) -> Format:
    """Returns the inverse of `Format.spec()`. Raises ValueError for anything else."""
    try:
        ((kind, value),) = spec.items()
        return format_class(kind).from_spec(value)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"this is not a format: {spec!r}") from None


def as_stored() -> tuple[Format, ...]:
    """Returns the formats that keep the very values of some sources, whatever the weights are."""
    return tuple(fmt for each in FORMATS for fmt in each.as_stored())


def recognise(stem: Stem) -> Format | None:
    """Returns the format of stored tensors; None if no format of this version, or more than one, describes them."""
    found = [fmt for each in FORMATS if (fmt := each.recognise(stem)) is not None]
    return found[0] if len(found) == 1 else None


def recipe_schema() -> dict[str, Any]:
    """Kind → JSON schema of its parameters, for every kind that `format` takes."""
    return {each.KIND: each.SCHEMA for each in FORMATS if each.SCHEMA is not None}
