"""Floor 6, cli. Completes arguments in the shell, from names and folder listings. It imports nothing that takes time.

Every command imports this module, so it imports no other module of the package at its top.
"""

from __future__ import annotations

import os
from pathlib import Path

import click
from click.shell_completion import CompletionItem

_RECIPES = (".yaml", ".yml")


def complete_recipe(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
    """Returns shipped recipes and YAML files, or lets the shell complete file names if neither fits."""
    return _names(incomplete, _RECIPES)


def complete_side(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
    """Returns recipes, plan files and bundles."""
    return _names(incomplete, (*_RECIPES, ".json"), folders=True)


def complete_shipped(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
    """Returns shipped recipes."""
    return _shipped(incomplete)


def complete_rule(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
    """Returns the rule ids of the recipe that the command line already names."""
    from dsv4recipe.recipe.ids import rule_ids

    recipe = ctx.params.get("recipe") or next(iter(ctx.args), None)  # click stops at an option that has no value yet
    found = rule_ids(recipe) if isinstance(recipe, str) else ()
    return [CompletionItem(name) for name in found if name.startswith(incomplete)]


def complete_runtime(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
    """Returns the runtimes that `verify` can probe."""
    from dsv4recipe.runtimes import probes

    return [CompletionItem(name) for name in sorted(("all", *probes())) if name.startswith(incomplete)]


def _shipped(incomplete: str) -> list[CompletionItem]:
    from dsv4recipe.recipe.shipped import shipped_recipes

    return [CompletionItem(name) for name in shipped_recipes() if name.startswith(incomplete)]


def _names(incomplete: str, endings: tuple[str, ...], folders: bool = False) -> list[CompletionItem]:
    head, _, start = incomplete.rpartition("/")
    found = [] if head else _shipped(incomplete)
    try:
        entries = sorted(Path(os.path.expanduser(head) or ("/" if incomplete.startswith("/") else ".")).iterdir())
    except OSError:
        entries = []
    for entry in entries:
        hidden = entry.name.startswith(".") and not start.startswith(".")
        fits = entry.name.endswith(endings) or (folders and (entry / "config.json").is_file())
        if entry.name.startswith(start) and fits and not hidden:
            found.append(CompletionItem(f"{head}/{entry.name}" if "/" in incomplete else entry.name))
    return found or [CompletionItem(incomplete, type="file")]
