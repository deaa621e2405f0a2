"""Floor 3, plan. Finds out which model a source is, and how this is known. Reads the source's card.

A recipe says which model it was written for; this says nothing about the folder that it is applied to. What the hub,
its cache or the user says of a source counts as known. What the source's own card says is reported as the card's claim.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.errors import Problems, RecipeError
from dsv4recipe.plan.model import Plan, PlannedSource
from dsv4recipe.recipe.model import Recipe

CARD = "README.md"
_LIMIT = 1 << 16


def origin_of(recipe: Recipe, checkpoint: Checkpoint) -> dict[str, str] | None:
    """Returns {"model", "revision"} of a source, or {"model", "by": "card"} with the model that its own card says it
    was made from. "license" is added if that card states another license than the recipe. Returns None if nothing is
    known. A repository gives the same plan no matter how it is known."""
    known = checkpoint.folder.origin
    said = {} if known is not None and known.by != "user" else own_card(checkpoint)
    found: dict[str, str] = {}
    if known is not None:
        found = {"model": known.repo, "revision": known.commit}
    elif base := _first(said.get("base_model")):
        found = {"model": base, "by": "card"}
    licence = said.get("license")
    if isinstance(licence, str) and licence != recipe.license and found:
        found["license"] = licence
    return found or None


def check_pin(recipe: Recipe, checkpoint: Checkpoint, problems: Problems) -> None:
    """Reports P006 if the recipe pins another commit of the repository that the source is known to come from."""
    known, pin = checkpoint.folder.origin, recipe.source.revision
    if known is None or known.repo != recipe.source.model or not pin or known.commit in ("", pin):
        return
    message = f"the recipe pins {recipe.source.model} at {pin}, but the source is its commit {known.commit}"
    hint = f"pass the pinned commit, hf://{known.repo}@{pin}, or change source.revision in the recipe"
    problems.error("P006", message, recipe.place("source.revision"), hint)


def claimed(source: PlannedSource) -> tuple[str, str]:
    """Returns the repository and commit that a bundle may name as its source; ("", "") if they are not known."""
    origin = source.origin or {}
    return ("", "") if origin.get("by") == "card" else (origin.get("model", ""), origin.get("revision", ""))


def in_words(plan: Plan) -> str:
    """Returns one sentence for people, in Markdown."""
    model, revision = claimed(plan.source)
    written = plan.recipe["source"]["model"]
    if model:
        at = f" at revision `{revision}`" if revision else ""
        return f"[{model}](https://huggingface.co/{model}){at}."
    if plan.source.origin:
        base = plan.source.origin["model"]
        return f"a folder whose own card says that it was made from [{base}](https://huggingface.co/{base})."
    return f"the recipe was written for {written}; the origin of the folder that it was applied to is not known."


def own_card(checkpoint: Checkpoint) -> Mapping[str, Any]:
    """Returns the front matter of the source's own card, or {} if there is none that can be read."""
    source = checkpoint.folder.source
    try:
        if not source.real or not checkpoint.folder.files or CARD not in source.names():
            return {}
        text = checkpoint.folder.text(CARD)[:_LIMIT]
    except (OSError, RecipeError):
        return {}
    front = text[4:].partition("\n---")[0] if text.startswith("---\n") else ""
    try:
        found = yaml.safe_load(front) if front else None
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _first(value: Any) -> str:
    first = value[0] if isinstance(value, list) and value else value
    return first if isinstance(first, str) and first.count("/") == 1 else ""
