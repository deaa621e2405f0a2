"""Floor 3, plan. Which model a source is: what is known of it, and how. Reads the source's card.

A recipe says what it was written for, which is no statement about the folder that somebody gives it. What the hub, its
cache or the user says of a source is known; what the source's own card says is told as its word.
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
    """{"model", "revision"} of a source, or {"model", "by": "card"}: the model that it was made from by the word of its
    own card; with "license" where that card has another than the recipe. None where nothing is known. However a
    repository is known, its plan is the same."""
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
    """P006: the recipe pins another commit of the very repository that the source is known to be."""
    known, pin = checkpoint.folder.origin, recipe.source.revision
    if known is None or known.repo != recipe.source.model or not pin or known.commit in ("", pin):
        return
    message = f"the recipe pins {recipe.source.model} at {pin}, the source is its commit {known.commit}"
    hint = f"give the pinned commit, hf://{known.repo}@{pin}, or change source.revision of the recipe"
    problems.error("P006", message, recipe.place("source.revision"), hint)


def claimed(source: PlannedSource) -> tuple[str, str]:
    """Repository and commit that a bundle may say it was made from; ("", "") where that is not known."""
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
    """Returns the front matter of the source's own card; {} where there is none that can be read."""
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
