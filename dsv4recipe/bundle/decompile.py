"""Floor 3, bundle. Turns a bundle back into the text of a recipe. Reads headers and small files, never weights."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from dsv4recipe.bundle.manifest import read_manifest
from dsv4recipe.bundle.open import expected_of
from dsv4recipe.bundle.read import read_bundle
from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.plan.decompile import About, decompile
from dsv4recipe.plan.diff import diff
from dsv4recipe.plan.model import Plan
from dsv4recipe.recipe.load import parse_recipe
from dsv4recipe.recipe.show import data_text, recipe_text_data
from dsv4recipe.runtimes import known

_JSON_LIMIT = 64 << 20
_CARD_LIMIT = 1 << 20
_FIELD = r"^{}:[ \t]*(?:\n-[ \t]*)?[\"']?(?P<value>[\w./-]+)[\"']?[ \t]*$"
_HUB = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")


def decompile_bundle(root: Path, name: str, model: str = "", runtime: str = "") -> tuple[str, tuple[str, ...]]:
    """Returns (the text of the recipe, notes) of the bundle at `root`. `name` is the recipe's. `model` is the
    checkpoint, if the bundle does not name it. `runtime` is the target, if several match.

    Raises RecipeError T001 (unknown runtime), P030 to P033 and what `read_bundle` raises.
    """
    if runtime:
        known(runtime)
    found = read_bundle(root, runtime)
    if runtime and runtime not in found.runtimes:
        hint = f"the names are those of {', '.join(found.runtimes)}"
        raise RecipeError("P033", f"the bundle's names are not those of {runtime}", Where(str(root)), hint)
    checkpoint = expected_of(root)
    made = decompile(found.plan, checkpoint, _about(root, name, model), str(root))
    text = data_text(recipe_text_data(made.recipe))
    parse_recipe(text, name)
    return text, (*found.notes, *made.notes)


def check_against(root: Path, plan: Plan) -> tuple[str, ...]:
    """Returns notes on how the plan of a decompiled recipe differs from the bundle; () if it does not."""
    found = diff(read_bundle(root, plan.target["runtime"]).plan, plan)
    changed = sum(change.count for change in (*found.added, *found.removed, *found.changed))
    notes = [f"with this source, {changed:,} modules differ from the bundle's"] if changed else []
    return (*notes, *(f"{what}: {old} → {new}" for what, old, new in found.facts))


def _about(root: Path, name: str, model: str) -> About:
    """Returns texts from the manifest if there is one, else from the card's front matter, else the folder's name."""
    manifest = read_manifest(root) or {}
    told: dict[str, Any] = manifest.get("recipe") if isinstance(manifest.get("recipe"), dict) else {}  # type: ignore[assignment]
    card = _front_matter(root / "README.md")
    base, licence = _field(card, "base_model"), _field(card, "license").lower()
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60].strip("-") or "decompiled"
    return About(
        name=str(told.get("name") or slug),
        summary=str(told.get("summary") or f"What {root.name} holds, read from its headers."),
        license=str(told.get("license") or (licence if _LICENSE.fullmatch(licence) else "other")),
        model=model or (base if _HUB.fullmatch(base) else ""),
    )


def _front_matter(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as stream:
            text = stream.read(_CARD_LIMIT)
    except (OSError, UnicodeDecodeError):
        return ""
    return text.split("\n---", 1)[0] if text.startswith("---\n") else ""


def _field(card: str, name: str) -> str:
    found = re.search(_FIELD.format(name), card, re.MULTILINE)
    return found["value"] if found else ""
