"""The runtimes' own servers on bundles of the yardstick: they answer what the small trained model has learned.

Each runs in its own environment (scripts/runtimes makes them); what is not installed is skipped by name.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dsv4recipe import build, load_recipe, make_plan, open_checkpoint
from dsv4recipe.answers.environments import environment_for
from dsv4recipe.answers.questions import asked
from dsv4recipe.answers.run import Settings, ask_bundle
from dsv4recipe.answers.servers import servers
from dsv4recipe.errors import NotInstalledError
from dsv4recipe.recipe.load import parse_recipe
from dsv4recipe.recipe.show import data_text, recipe_data

YARDSTICK = Path(__file__).parent.parent / "data" / "yardstick" / "checkpoint"
LIMITS = Settings(seconds=300, tokens=20)
PROMPTS = ("What is 17+28?", "What is 40+33?")
ANSWERS = ("45", "73")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A bundle of the yardstick by a shipped recipe, for its own runtime or another one; each is built once."""
    folder = tmp_path_factory.mktemp("yardstick")
    checkpoint = open_checkpoint(YARDSTICK)

    def bundle(name: str, runtime: str = "") -> Path:
        out = folder / f"{name}-{runtime or 'own'}"
        if not out.exists():
            recipe = load_recipe(name)
            if runtime:
                text = data_text(recipe_data(recipe)).replace(
                    f"runtime: {recipe.target.runtime}", f"runtime: {runtime}"
                )
                recipe = parse_recipe(text, f"{name}.yaml")
            build(make_plan(recipe, checkpoint), checkpoint, out)
        return out

    return bundle


def installed(name: str) -> str:
    try:
        environment_for(servers()[name])
    except NotInstalledError as error:
        pytest.skip(error.diagnostics[0].message)
    return name


@pytest.mark.parametrize(
    ("runtime", "recipe", "target"),
    [
        ("vmlx", "q4q8", ""),
        ("mlx-vlm", "native", ""),
    ],
)
def test_it_answers(built: Callable[..., Path], runtime: str, recipe: str, target: str) -> None:
    bundle = built(recipe, target)
    found = ask_bundle(bundle, asked(PROMPTS, ANSWERS), installed(runtime), None, LIMITS)
    assert found.ok, [finding.render() for each in (found, *found.answers) for finding in each.findings]
    assert [each.reply.stopped for each in found.answers if each.reply] == [True, True]
