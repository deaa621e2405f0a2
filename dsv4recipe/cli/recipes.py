"""Floor 6, cli. `recipes` lists the shipped recipes; `recipes show NAME` prints one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from dsv4recipe.cli.arguments import json_option
from dsv4recipe.cli.complete import complete_shipped
from dsv4recipe.cli.screen import raw

if TYPE_CHECKING:
    from dsv4recipe.recipe.model import Recipe


LEAST = 1e-6
"""KL below this comes of rounding."""


@click.group("recipes", invoke_without_command=True)
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List the shipped recipes, with what they lose on a small model that was trained to measure it."""
    if ctx.invoked_subcommand is not None:
        return
    from dsv4recipe import load_recipe
    from dsv4recipe.evaluation.yardstick import YARDSTICK
    from dsv4recipe.recipe.shipped import shipped_recipes

    found = [(load_recipe(name), _quality(load_recipe(name))) for name in shipped_recipes()]
    if as_json:
        from dsv4recipe.cli.output import print_json

        rows = [
            {"name": r.name, "summary": r.summary, "runtime": r.target.runtime, "quality": quality}
            for r, quality in found
        ]
        print_json({"format_version": 1, "recipes": rows})
        return
    width = max(len(recipe.name) for recipe, _ in found)
    for recipe, quality in found:
        kl = quality["kl"]
        loss = "KL ?        " if kl is None else f"KL {kl if kl > LEAST else 0:<9.3g}"
        mark = "~" if quality["kl"] is not None and quality["how"] else " "
        click.echo(f"{recipe.name:<{width}} {recipe.target.runtime:<12} {mark}{loss} {recipe.summary}")
    click.echo(
        f"KL: to the source, in nats per token, measured on {YARDSTICK}; not on the model that a recipe is for.\n"
        "~: of what stands in for the recipe there. ?: not measured. More in docs/evidence/quality.md."
    )


def _quality(recipe: Recipe) -> dict[str, Any]:
    """Returns what is known of a shipped recipe's loss, and what it was measured on; `kl` is None where nothing is."""
    from dsv4recipe.evaluation.shipped import shipped_evidence
    from dsv4recipe.evaluation.yardstick import how
    from dsv4recipe.recipe.show import recipe_data

    evidence = shipped_evidence(recipe_data(recipe))
    if evidence is None:
        return {"kl": None, "on": None, "how": how(recipe.name)}
    kl = evidence.data["kl"]["mean"]
    return {"kl": kl, "on": evidence.on, "how": how(recipe.name), "sentence": evidence.sentence}


@command.command("show")
@click.argument("name", shell_complete=complete_shipped)
def show(name: str) -> None:
    """Print the text of a shipped recipe, including its comments."""
    from dsv4recipe.recipe.shipped import recipe_path

    click.echo(recipe_path(name).read_text(encoding="utf-8"), nl=False, file=raw(sys.stdout))
