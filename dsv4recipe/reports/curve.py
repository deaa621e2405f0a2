"""Floor 4, reports. Draws the output of `allocate --json` as a curve of error by budget. This module is pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.headers.strict_json import parse_json
from dsv4recipe.plan.model import Plan

WIDTH, HEIGHT = 1000, 300
_HINT = "dsv4recipe allocate RECIPE --source SRC --budget SIZE -o OUT --json > allocation.json"


@dataclass(frozen=True, slots=True)
class Curve:
    """`line` and `bound` are SVG points in a box of 1000 × 300; `marks` are (x, y, words) of single recipes. `points`
    hold bytes, bits per weight, error and bound; `evidence` says what the errors and their weights rest on, `quality`
    what the base recipe loses on text."""

    line: str
    bound: str
    marks: tuple[tuple[float, float, str], ...]
    points: tuple[tuple[int, float, float, float], ...]
    evidence: tuple[str, str]
    quality: str = ""


def read_allocation(text: str, file: str, plan: Plan) -> Curve:
    """Returns the curve that the plan's recipe was chosen from.

    Raises RecipeError U015 if the text is no such document or was made for another bundle.
    """
    try:
        data = parse_json(text.encode())
        points = tuple(
            (int(p["bytes"]), float(p["bits_per_weight"]), float(p["error"]), float(p["bound"])) for p in data["curve"]
        )
        evidence = (str(data["evidence"]["errors"]), str(data["evidence"]["importance"]))
        quality = str(data["evidence"].get("quality") or "")
        base = str(data["base"]["name"]), int(data["base"]["bytes"]), data["base"]["error"]
        own = (int(data["bytes"]), float(data["error"])) if "bytes" in data else None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        message = f"not a document of `allocate --json` ({type(error).__name__}: {error})"
        raise RecipeError("U015", message, Where(file), _HINT) from None
    figures = [value for point in points for value in point] + [base[2] or 0.0] + list(own or ())
    if len(points) < 2 or not all(isinstance(v, int | float) and math.isfinite(v) and v >= 0 for v in figures):
        raise RecipeError("U015", "the document holds no curve", Where(file), _HINT)
    if own is not None and own[0] != plan.tensor_bytes:
        message = f"made for another bundle, of {own[0]:,} tensor bytes; this one has {plan.tensor_bytes:,}"
        raise RecipeError("U015", message, Where(file), _HINT)
    low, high, most = points[0][0], points[-1][0], max(point[2] for point in points) or 1.0

    def place(size: float, error: float) -> tuple[float, float]:
        return round((size - low) / max(1, high - low) * WIDTH, 2), round(HEIGHT - error / most * HEIGHT, 2)

    marks = [(own[0], own[1], "this recipe")] if own else []
    marks += [(base[1], float(base[2]), base[0])] if base[2] is not None else []
    inside = [mark for mark in marks if low <= mark[0] <= high and mark[1] <= most]
    return Curve(
        line=" ".join("{},{}".format(*place(size, error)) for size, _, error, _ in points),
        bound=" ".join("{},{}".format(*place(size, bound)) for size, _, _, bound in points),
        marks=tuple((*place(size, error), f"{name}: {size:,} B, {error:.5g}") for size, error, name in inside),
        points=points,
        evidence=evidence,
        quality=quality,
    )
