"""The runtimes' own servers on bundles of the yardstick: they answer what the small trained model has learned, and do
not where the bundle is spoiled.

Each runs in its own environment (scripts/runtimes and scripts/llama-cpp make them); what is not installed is skipped by
name. One bundle for each runtime here; `python -m benchmarks.answers` runs them all.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from dsv4recipe import build, load_recipe, make_plan, open_checkpoint
from dsv4recipe.answers.environments import environment_for
from dsv4recipe.answers.questions import asked
from dsv4recipe.answers.run import Settings, ask_bundle
from dsv4recipe.answers.servers import servers
from dsv4recipe.checkpoint.synth import synthesize
from dsv4recipe.cli.main import run
from dsv4recipe.errors import NotInstalledError
from tests.answers.yardstick import ANSWERS, PROMPTS, SOUND, Cell, spoil
from tests.recipes import UNGUIDED

LIMITS = Settings(seconds=300, tokens=20)
ONE_EACH = (
    Cell("vmlx", "q4q8"),
    Cell("mlx-vlm", "native"),
    Cell("rapid-mlx", "universal"),
    Cell("llama.cpp", "ds4-q4", "llama.cpp"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where bundles are built, each once."""
    return tmp_path_factory.mktemp("yardstick")


def installed(name: str) -> str:
    try:
        environment_for(servers()[name])
    except NotInstalledError as error:
        pytest.skip(error.diagnostics[0].message)
    return name


def test_the_command_beside_the_suite_runs_these_too() -> None:
    assert set(ONE_EACH) <= set(SOUND)


@pytest.mark.parametrize("cell", ONE_EACH, ids=lambda cell: cell.runtime)
def test_it_answers(folder: Path, cell: Cell) -> None:
    installed(cell.runtime)
    found = ask_bundle(cell.build(folder), asked(PROMPTS, ANSWERS), cell.runtime, None, LIMITS)
    assert found.ok, [finding.render() for each in (found, *found.answers) for finding in each.findings]
    assert [each.reply.stopped for each in found.answers if each.reply] == [True, True]


@pytest.mark.parametrize("how", ["overrides", "experts", "tokenizer"])
def test_a_spoiled_bundle_does_not(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], how: str) -> None:
    installed("mlx-vlm")
    bundle = spoil(Cell("mlx-vlm", "native").build(folder), how, tmp_path / "spoiled")
    asking = ["ask", str(bundle), PROMPTS[0], "--expect", ANSWERS[0], "--runtime", "mlx-vlm", "--max-tokens", "20"]
    assert run([*asking, "--time-limit", "300"]) == 3
    said = capsys.readouterr().err
    assert ("S003" if how == "overrides" else "S010") in said


def test_what_only_metal_can_do_is_said(folder: Path) -> None:
    """MXTQ is decoded by a Metal kernel; where there is none, the server starts and then fails."""
    installed("vmlx")
    found = ask_bundle(Cell("vmlx", "jangtq2").build(folder), asked(PROMPTS[:1], ANSWERS[:1]), "vmlx", None, LIMITS)
    if not found.ok:
        (finding,) = found.answers[0].findings
        assert finding.code == "S002"
        assert "Metal" in finding.hint


def test_vmlx_finds_no_fault_in_any_bundle_for_it(tmp_path: Path) -> None:
    """Its own `bundle-check`, on every shipped recipe for vMLX; some name layers, so the source has all 43."""
    python = environment_for(servers()[installed("vmlx")]).python
    synthesize(tmp_path / "source", layers=43, experts=2)
    source = open_checkpoint(tmp_path / "source")
    for recipe in map(load_recipe, UNGUIDED):
        if recipe.target.runtime == "vmlx":
            build(make_plan(recipe, source), source, tmp_path / "made" / recipe.name)
    made = sorted((tmp_path / "made").iterdir())
    assert len(made) >= 8
    command = [str(python), "-c", CHECK, *map(str, made)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [(each["bundle"], each["status"], each["warnings"]) for each in found] == [
        (str(bundle), "ok", []) for bundle in made
    ], done.stderr


CHECK = """
import sys
from vmlx_engine.cli import main
for bundle in sys.argv[1:]:
    sys.argv = ["vmlx", "bundle-check", bundle, "--json", "--no-cache"]
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise
"""
