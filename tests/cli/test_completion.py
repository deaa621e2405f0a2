"""Shell completion as a shell asks for it: the right words, fast, and nothing heavy on the way."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dsv4recipe.cli.main import COMMANDS
from dsv4recipe.recipe.shipped import shipped_recipes
from tests.recipes import SOUND, changed

HOUSE = (
    "recipe: 1\nname: house\nextends: ./sound.yaml\nrules:\n  - id: first\n    match: {layers: 0}\n    keep: source\n"
)


def complete(cwd: Path, line: str) -> list[str]:
    """What bash would offer after `line`, of which the last word is being typed."""
    words = line.split(" ")
    environment = os.environ | {
        "_DSV4RECIPE_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    command = [sys.executable, "-m", "dsv4recipe"]
    shown = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=True)
    assert shown.stderr == ""
    return shown.stdout.split()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sound.yaml").write_text(SOUND)
    (tmp_path / "house.yaml").write_text(HOUSE)
    (tmp_path / "broken.yaml").write_text(changed("rules:", "rulse: ["))
    (tmp_path / ".hidden.yaml").write_text(SOUND)
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "plan.json").write_text("{}")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "other.yml").write_text(SOUND)
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "config.json").write_text("{}")
    return tmp_path


SHIPPED = [f"plain,{name}" for name in shipped_recipes()]
FILES = ["plain,broken.yaml", "plain,house.yaml", "plain,sound.yaml"]

CASES = {
    "dsv4recipe ": [f"plain,{name}" for name in COMMANDS],
    "dsv4recipe re": ["plain,recipes", "plain,report"],
    "dsv4recipe recipes show q4": [
        "plain,q4q8", "plain,q4q8-calibrated", "plain,q4q8-fit", "plain,q4q8-per-expert",
    ],
    "dsv4recipe plan ": SHIPPED + FILES,
    "dsv4recipe build so": ["plain,sound.yaml"],
    "dsv4recipe check more/": ["plain,more/other.yml"],
    "dsv4recipe check ./so": ["plain,./sound.yaml"],
    "dsv4recipe check mor": ["file,mor"],
    "dsv4recipe explain q4q8-p": ["plain,q4q8-per-expert"],
    "dsv4recipe report ": [*SHIPPED, *sorted(["plain,bundle", "plain,plan.json", *FILES])],
    "dsv4recipe diff q4q8 so": ["plain,sound.yaml"],
    "dsv4recipe show q4q8 --rule ": ["plain,routed-experts", "plain,control", "plain,everything-else"],
    "dsv4recipe show house.yaml --rule ": [
        "plain,first", "plain,routed-experts", "plain,control", "plain,everything-else",
    ],
    "dsv4recipe show broken.yaml --rule ": [],
    "dsv4recipe verify bundle --runtime ": [
        "plain,all", "plain,jang", "plain,jang-strict", "plain,mlx-lm", "plain,mlx-vlm", "plain,rapid-mlx",
        "plain,vmlx",
    ],
}  # fmt: skip


@pytest.mark.parametrize("line", CASES)
def test_words(folder: Path, line: str) -> None:
    assert complete(folder, line) == CASES[line]


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_takes_the_script(folder: Path) -> None:
    """The script of `_DSV4RECIPE_COMPLETE=bash_source`, loaded and asked by bash itself."""
    tool = Path(sys.executable).with_name("dsv4recipe")
    lines = f"""
eval "$(_DSV4RECIPE_COMPLETE=bash_source {tool})"
COMP_WORDS=({tool} plan so); COMP_CWORD=2
_dsv4recipe_completion {tool}
echo "${{COMPREPLY[@]}}"
"""
    shown = subprocess.run(["bash", "-c", lines], cwd=folder, capture_output=True, text=True, check=True)
    assert shown.stdout == "sound.yaml\n"


def processor_time(run: Callable[[], object]) -> float:
    """Seconds of processor time that the processes started by `run` take."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("line", ["dsv4recipe ", "dsv4recipe plan q", "dsv4recipe show q4q8 --rule c"])
def test_it_is_quick(folder: Path, line: str) -> None:
    """At most three times the processor time of starting Python with click, on whatever machine this is."""
    start = [sys.executable, "-c", "import click.shell_completion"]
    least = min(processor_time(lambda: subprocess.run(start, check=True)) for _ in range(5))
    assert min(processor_time(lambda: complete(folder, line)) for _ in range(5)) < 3 * least


def test_nothing_heavy_is_imported(folder: Path) -> None:
    heavy = "{'numba', 'mlx', 'networkx', 'numpy', 'rich', 'jsonschema', 'huggingface_hub', 'jinja2'}"
    code = (
        "import sys\nfrom dsv4recipe.cli.main import main\n"
        f"try:\n  main()\nfinally:\n  print(sorted({heavy} & set(sys.modules)))"
    )
    for line in CASES:
        environment = os.environ | {
            "_DSV4RECIPE_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" ")),
        }  # fmt: skip
        shown = subprocess.run(
            [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert shown.stdout.splitlines()[-1] == "[]", line
