"""Shared fixtures: synthetic checkpoints and one built bundle, made once per test process."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from dsv4recipe import build, load_recipe, make_plan, open_checkpoint
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.checkpoint.releases import RELEASES
from dsv4recipe.checkpoint.synth import synthesize
from dsv4recipe.plan.model import Plan
from dsv4recipe.recipe.load import parse_recipe
from dsv4recipe.runtimes import known
from tests.recipes import ALLOCATED

settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")
"""How long an example takes depends on the machine and on what else it does: timings are measured in benchmarks/."""


def pytest_configure() -> None:
    os.environ["DSV4RECIPE_CACHE"] = tempfile.mkdtemp(prefix="dsv4recipe-cache-")  # receipts of `verify`
    """A job runner may start us with signals ignored, and children inherit that: tests that send signals need them."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


@pytest.fixture(scope="session")
def tiny_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint of the real layout, with data. Tests must not write into it."""
    out = tmp_path_factory.mktemp("synthetic") / "tiny"
    synthesize(out)
    return out


@pytest.fixture(scope="session")
def tiny(tiny_source: Path) -> Checkpoint:
    return open_checkpoint(tiny_source)


@pytest.fixture(scope="session")
def tiny_256_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As tiny, with rows that ggml's blocks of 256 weights fill."""
    out = tmp_path_factory.mktemp("synthetic") / "tiny-256"
    synthesize(out, preset="tiny-256")
    return out


@pytest.fixture(scope="session")
def tiny_256(tiny_256_source: Path) -> Checkpoint:
    return open_checkpoint(tiny_256_source)


@pytest.fixture(scope="session")
def tiny_for(
    tiny: Checkpoint, tiny_256: Checkpoint, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Checkpoint]:
    """A checkpoint with data that a shipped recipe can be planned against: of its release, at tiny size. Recipes that
    `allocate` made name layers that `tiny` does not have, and get its widths with all 43 of them; those of GGUF files
    get rows that ggml's blocks fill."""
    made = {"v4-flash": tiny, "gguf": tiny_256}

    def checkpoint(recipe: str) -> Checkpoint:
        loaded = load_recipe(recipe)
        release = next(name for name, release in RELEASES.items() if release.model == loaded.source.model)
        one_file = any(target.container == "gguf" for target in known(loaded.target.runtime))
        key = "all layers" if recipe in ALLOCATED else "gguf" if one_file else release
        if key not in made:
            out = tmp_path_factory.mktemp("synthetic") / release
            size = {"layers": 43, "experts": 2} if recipe in ALLOCATED else {}
            made[key] = open_checkpoint(synthesize(out, release, **size).root)
        return made[key]

    return checkpoint


@pytest.fixture(scope="session")
def full(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """V4-Flash at full size, headers only."""
    out = tmp_path_factory.mktemp("synthetic") / "full"
    synthesize(out, preset="full", headers_only=True)
    return open_checkpoint(out)


@pytest.fixture(scope="session")
def planned(tiny: Checkpoint) -> Callable[[str], Plan]:
    """The plan of a recipe given as text, against the tiny checkpoint."""
    return lambda text: make_plan(parse_recipe(text, "recipe.yaml"), tiny)


@pytest.fixture(scope="session")
def q4q8_bundle(tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished bundle. Tests must not write into it: see `spoiled`."""
    out = tmp_path_factory.mktemp("bundles") / "q4q8"
    return build(make_plan(load_recipe("q4q8"), tiny), tiny, out)


@pytest.fixture
def spoiled(q4q8_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the bundle, to be damaged."""
    return Path(shutil.copytree(q4q8_bundle, tmp_path / "bundle"))


@pytest.fixture
def source_copy(tiny_source: Path, tmp_path: Path) -> Path:
    """A copy of the tiny checkpoint, to be damaged."""
    return Path(shutil.copytree(tiny_source, tmp_path / "source"))
