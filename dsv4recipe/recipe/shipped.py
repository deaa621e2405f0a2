"""Floor 1, recipe. Finds the shipped recipes and schemas, in the installed package or in the checkout. Reads files."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from dsv4recipe.errors import NOWHERE, RecipeError, Where, did_you_mean

_PACKAGE = Path(__file__).resolve().parent.parent
_SUFFIX = ".schema.json"


def _folder(kind: str) -> Path:
    """Returns `share/recipes` of an installed package, or `recipes` of the checkout."""
    installed = _PACKAGE / "share" / kind
    return installed if installed.is_dir() else _PACKAGE.parent / kind


def shipped_recipes() -> tuple[str, ...]:
    """Returns the names of the shipped recipes, sorted."""
    return tuple(sorted(path.stem for path in _folder("recipes").glob("*.yaml")))


def recipe_path(name: str, where: Where = NOWHERE) -> Path:
    """Returns the file of a shipped recipe. Raises RecipeError R050 for an unknown name."""
    names = shipped_recipes()
    if name not in names:
        hint = did_you_mean(name, names)
        if not hint.startswith("did"):
            hint += "; to name a file, write its ending .yaml or a path such as ./recipe"
        raise RecipeError("R050", f'no shipped recipe is called "{name[:80]}"', where, hint)
    return _folder("recipes") / f"{name}.yaml"


def schema_names() -> tuple[str, ...]:
    """Returns the names of the shipped JSON schemas, sorted."""
    return tuple(sorted(path.name.removesuffix(_SUFFIX) for path in _folder("schemas").glob(f"*{_SUFFIX}")))


@cache
def schema_text(name: str) -> str:
    """Returns a shipped JSON schema as text. Raises RecipeError R051 for an unknown name."""
    names = schema_names()
    if name not in names:
        raise RecipeError("R051", f'no shipped schema is called "{name[:80]}"', hint=did_you_mean(name, names))
    return (_folder("schemas") / f"{name}{_SUFFIX}").read_text(encoding="utf-8")
