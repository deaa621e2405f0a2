"""The shipped recipes that `allocate` made: their own commands make them again, to the letter, and they keep promises.

`python benchmarks/allocation.py --recipes` writes all of them again.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from dsv4recipe import load_recipe, make_plan
from dsv4recipe.allocation.machine import room
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.checkpoint.releases import RELEASES
from dsv4recipe.cli.main import run
from dsv4recipe.plan.expected import expected_checkpoint
from dsv4recipe.recipe.shipped import recipe_path
from tests.recipes import ALLOCATED

MADE = {name: recipe_path(name).read_text(encoding="utf-8") for name in ALLOCATED}


def command(text: str) -> list[str]:
    """The words of the command in a recipe's head."""
    said = re.search(r"^# Made by: +(.*\n(?:#  +.*\n)*)", text, re.MULTILINE)
    assert said
    return shlex.split(said[1].replace("\n#", " "))


def test_there_is_one_for_each_machine_and_each_seed() -> None:
    machines = {f"fits-{memory}gb" for memory in (96, 128, 192, 256, 512)}
    assert set(MADE) == machines | {"q3-mixed-fit", "q4q8-fit"}


@pytest.mark.parametrize("name", MADE)
def test_its_command_makes_it_again(
    name: str, full: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dsv4recipe.api.subjects.open_checkpoint", lambda path: full)  # opened once for all
    program, *words = command(MADE[name])
    assert program == "dsv4recipe"
    out = tmp_path / words[-1]
    assert run([*words[:-1], str(out)]) == 0
    assert out.read_text(encoding="utf-8") == MADE[name]


@pytest.mark.parametrize("name", MADE)
def test_it_plans_on_the_release_with_dspark_stages(name: str, full: Checkpoint) -> None:
    """A recipe that keeps prediction stages grows by them; the others stay as they are."""
    later = expected_checkpoint(RELEASES["v4-flash-0731"].full_config(), "config.json")
    recipe = load_recipe(name)
    there, here = make_plan(recipe, later), make_plan(recipe, full)
    stages = [module for module in there.modules if module.block == "mtp"]
    assert bool(stages) == (recipe.target.mtp == "keep")
    more = there.tensor_bytes - here.tensor_bytes
    assert more == sum(m.bytes for m in stages) - sum(m.bytes for m in here.modules if m.block == "mtp")


@pytest.mark.parametrize("name", MADE)
def test_it_costs_what_it_says_and_stays_within_its_budget(name: str, full: Checkpoint) -> None:
    plan = make_plan(load_recipe(name), full)
    assert f"# Costs:    {plan.tensor_bytes:,} tensor bytes" in MADE[name]
    words = command(MADE[name])
    if "--fits" in words:
        context = int(words[words.index("--context") + 1]) if "--context" in words else 32768
        budget = room(words[words.index("--fits") + 1], full, context).bytes
    else:
        budget = make_plan(load_recipe(words[2]), full).tensor_bytes
        assert words[words.index("--budget") + 1] == f"{budget}B"
    assert plan.tensor_bytes <= budget
    largest = "Nothing above" in MADE[name]
    assert largest or plan.tensor_bytes >= 0.999 * budget
    assert len(load_recipe(name).rules) <= 20


def test_the_page_has_their_figures() -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "allocation.md").read_text(encoding="utf-8")
    for name, text in MADE.items():
        size = re.search(r"# Costs: +([\d,]+) tensor bytes", text)
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
        assert size is not None
        assert f"| {size[1]} |" in row
        error = re.search(r"errors is ([\d.e-]+),", text.replace("\n#          ", ""))
        assert error is not None
        shown = float(row.split("|")[5])
        assert shown == pytest.approx(float(error[1]), rel=0.05)
