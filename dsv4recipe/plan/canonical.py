"""Floor 3, plan. Writes and reads the plan as canonical JSON: sorted, UTF-8, no time, host, user or path. This module
is pure."""

from __future__ import annotations

import json
from typing import Any

from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.formats import Part, SourceTensor, from_spec
from dsv4recipe.headers.strict_json import parse_json
from dsv4recipe.importance.planned import PlannedImportance
from dsv4recipe.plan.content import FORMAT_VERSION, content_of
from dsv4recipe.plan.model import Plan, PlannedModule, PlannedShard, PlannedSource


def plan_data(plan: Plan) -> dict[str, Any]:
    """Returns the plan as plain data with its digest, as `plan --json` prints it and `plan -o` writes it."""
    return content_of(plan) | {"digest": plan.digest}


def dump_plan(plan: Plan) -> str:
    """Returns the text of the plan file: canonical content, indented for reading."""
    return json.dumps(plan_data(plan), sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def load_plan(text: str, file: str) -> Plan:
    """Returns a plan from its file. Raises RecipeError P020 if it is not a plan, P021 if its digest does not match its
    content."""
    try:
        data = parse_json(text.encode())
        version = data["format_version"]
        if version != FORMAT_VERSION:
            message = f"the plan has format {version}, but this version reads format {FORMAT_VERSION}"
            raise RecipeError("P020", message, Where(file), "make the plan again")
        source, recipe, target = PlannedSource(**data["source"]), data["recipe"], data["target"]
        modules = tuple(_module(row) for row in data["modules"])
        shards = tuple(PlannedShard(**row | {"modules": tuple(row["modules"])}) for row in data["shards"])
        importance = PlannedImportance(**data["importance"]) if "importance" in data else None
        plan = Plan(recipe, source, target, modules, shards, data["overrides"], data["dropped"], importance)
        if plan_data(plan) != data:
            raise RecipeError(
                "P021", "the plan's digest does not match its content", Where(file), "make the plan again"
            )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RecipeError(
            "P020",
            f"not a plan file ({type(error).__name__}: {error})",
            Where(file),
            "make the plan again with `dsv4recipe plan RECIPE -o FILE`",
        ) from None
    return plan


def _module(row: dict[str, Any]) -> PlannedModule:
    stored = row["stored"]
    return PlannedModule(
        path=row["path"],
        disk=row["disk"],
        role=row["role"],
        projection=row["projection"],
        block=row["block"],
        layer=row["layer"],
        format=from_spec(row["format"]),
        lossless=row["lossless"],
        rule=row["rule"],
        note=row["note"],
        shape=tuple(row["shape"]),
        experts=row["experts"],
        source=SourceTensor(
            stored["as"], tuple(stored["shape"]), stored["dtype"], tuple(stored["tile"]), stored.get("scales", "")
        ),
        sources=row["sources"],
        parts=tuple(Part(p["suffix"], p["dtype"], tuple(p["shape"]), p.get("fill")) for p in row["tensors"]),
    )
