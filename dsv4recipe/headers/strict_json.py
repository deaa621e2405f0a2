"""Floor 1, headers. Reads JSON from unknown sources: limited size, UTF-8, no duplicate keys, no NaN. Reads files.

Python's `json` keeps the last of two equal keys and accepts NaN and 1e999. safetensors and mlx also keep the last of
two equal keys (docs/reference/checkpoint.md). Here all of these are refused.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dsv4recipe.errors import RecipeError, Where

MAX_VALUES = 1_500_000
"""The most values in one document, counted before parsing. It limits memory, which size alone does not."""


class StrictJSONError(ValueError):
    """Text that `json` would accept but we do not. The message is a sentence without a place."""


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Returns an object whose keys are all different."""
    result = dict(pairs)
    if len(result) < len(pairs):
        seen: set[str] = set()
        again = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise StrictJSONError(f"the key {again!r:.200} appears twice in one object")
    return result


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise StrictJSONError(f"the number {text:.40} is too large")
    return value


def no_constant(text: str) -> Any:
    raise StrictJSONError(f"{text} is not JSON")


def parse_json(raw: bytes) -> Any:
    """Returns the value of a JSON document. Raises StrictJSONError with one sentence for everything that is not
    strict."""
    if raw.count(b",") + raw.count(b"[") + raw.count(b"{") > MAX_VALUES:
        raise StrictJSONError(f"it holds more than {MAX_VALUES:,} values")
    try:
        return json.loads(
            raw.decode("utf-8"), object_pairs_hook=unique, parse_float=_finite, parse_constant=no_constant
        )
    except StrictJSONError:
        raise
    except UnicodeDecodeError as error:
        raise StrictJSONError(f"it is not UTF-8: byte {error.start:,}") from None
    except json.JSONDecodeError as error:
        raise StrictJSONError(f"line {error.lineno}, column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise StrictJSONError("it is nested too deeply") from None
    except ValueError:  # the number has thousands of digits
        raise StrictJSONError("it holds a number that is too long") from None


class TooLargeError(OSError):
    """A file that is larger than the limit for its kind."""

    def __init__(self, limit: int):
        super().__init__(f"larger than {limit:,} bytes")


def regular_size(path: Path) -> int:
    """Returns the size in bytes of a regular file (links are followed). Raises OSError for others; pipes are not
    opened."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise OSError("it is not a regular file")
    return status.st_size


AGAIN = "copy or download this file again"
"""The help for a file that holds no document, where nothing better is known."""


def reason(error: OSError) -> str:
    """Returns the operating system's message without errno and path."""
    return (error.strerror or str(error)).lower()


def read_object(path: Path, limit: int, file: str, code: str, hint: str = AGAIN) -> tuple[dict[str, Any], str]:
    """Returns the JSON object in `path` and the sha256 (hex) of its bytes. Raises RecipeError `code` with one
    sentence."""

    def read() -> bytes:
        if regular_size(path) > limit:
            raise TooLargeError(limit)
        with path.open("rb") as stream:
            return stream.read(limit)

    return object_from(read, file, code, hint)


def object_from(read: Callable[[], bytes], file: str, code: str, hint: str = AGAIN) -> tuple[dict[str, Any], str]:
    """Returns the JSON object in the bytes that `read` gives, and their sha256 (hex). Raises RecipeError `code`."""
    where = Where(file)
    try:
        raw = read()
    except TooLargeError as error:
        raise RecipeError(code, f"{file} is {error}", where, hint) from None
    except FileNotFoundError:
        raise RecipeError(code, f"{file} is missing", where, hint) from None
    except OSError as error:
        raise RecipeError(code, f"{file} cannot be read: {reason(error)}", where, hint) from None
    try:
        value = parse_json(raw)
    except StrictJSONError as error:
        raise RecipeError(code, f"{file} is not valid: {error}", where, hint) from None
    if not isinstance(value, dict):
        raise RecipeError(code, f"{file} must hold a JSON object", where, hint)
    return value, hashlib.sha256(raw).hexdigest()
