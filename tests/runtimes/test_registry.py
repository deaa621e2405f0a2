"""The registry of runtimes: what every folder gives, what is generated from it, and a runtime from another package."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import dsv4recipe.runtimes
from dsv4recipe.bundle.manifest import read_manifest
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.runtimes import BUILT_IN, loaders, probes, targets
from dsv4recipe.verifier.contract.check import MORE_LAWS
from dsv4recipe.verifier.contract.replay.audit import AUDITS
from tests.recipes import changed

ROOT = Path(__file__).parents[2]
FOLDER = Path(dsv4recipe.runtimes.__file__).parent
TOY = Path(__file__).with_name("toy")


def test_every_folder_is_one_line_of_the_registry_and_has_the_same_files() -> None:
    folders = {path.parent.name for path in FOLDER.glob("*/target.py")} - {"common"}
    assert folders == {runtime.name.replace("-", "_").replace(".", "_") for runtime in BUILT_IN}
    for runtime in BUILT_IN:
        folder = FOLDER / runtime.name.replace("-", "_").replace(".", "_")
        assert (folder / "loaders.py").exists() == bool(runtime.loaders), runtime.name
        assert (folder / "probe.py").exists() == bool(runtime.probes), runtime.name
        assert {target.name for target in runtime.targets} == {runtime.name}
        assert all(probe.adapters == folder / "probe.py" for probe in runtime.probes)


def test_names_are_unique_and_what_a_runtime_names_exists() -> None:
    names = [(probe.name) for runtime in BUILT_IN for probe in runtime.probes]
    assert len(names) == len(set(names))
    known = {target.name for target in targets()}
    assert {name for probe in probes().values() for name in probe.targets} <= known
    for loader in (loader for runtime in BUILT_IN for loader in runtime.loaders):
        assert set(loader.serves) <= known
        assert set(loader.audits) <= set(AUDITS)
    assert {law for target in targets() for law in target.laws} <= set(MORE_LAWS)
    assert len({(loader.name, loader.version) for loader in loaders("deepseek_v4")}) == len(loaders("deepseek_v4"))


def test_the_schema_is_generated_from_the_registry() -> None:
    """`python scripts/generate.py` writes it again."""
    done = subprocess.run(
        [sys.executable, "scripts/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_tested_versions_are_those_of_the_pins_and_of_the_page() -> None:
    said = "".join(
        (ROOT / name).read_text(encoding="utf-8")
        for name in (
            "pyproject.toml",
            "scripts/runtimes",
            "scripts/llama-cpp",
            "docs/evidence/compatibility.md",
            "docs/how-to/gguf.md",
        )
    )
    for runtime in BUILT_IN:
        for version in runtime.tested.values():
            assert version in said, (runtime.name, version)


def command(folder: Path, *words: str, paths: tuple[Path, ...] = (TOY,)) -> subprocess.CompletedProcess[str]:
    """The tool in a process where the packages of `paths` are installed."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (*paths, ROOT)))}
    line = [sys.executable, "-m", "dsv4recipe", *words]
    return subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    text = changed("runtime: vmlx", "runtime: toy").replace("half: float16", "half: bfloat16")
    (folder / "toy.yaml").write_text(text, encoding="utf-8")
    return folder


def test_a_runtime_of_another_package_goes_from_recipe_to_proof(recipe: Path, tiny: Checkpoint) -> None:
    source = str(tiny.folder.root)
    built = command(recipe, "build", "toy.yaml", "--source", source, "-o", "bundle")
    assert built.returncode == 0, built.stderr
    manifest = read_manifest(recipe / "bundle")
    assert manifest is not None
    assert manifest["recipe"]["target"]["runtime"] == "toy"
    said = command(recipe, "verify", "bundle", "--runtime", "toy", "--load-only", "--json")
    proof = json.loads(said.stdout)
    assert said.returncode == 0, said.stdout + said.stderr
    assert {each["loader"]: each["verdict"] for each in proof["loaders"]}["toy"] == "loads"
    assert proof["steps"][-1]["name"] == "runtime toy"
    assert any("0 missing, 0 unexpected" in fact for fact in proof["steps"][-1]["facts"])
    assert "toy" in command(recipe, "verify", "--help").stdout


def test_without_the_package_the_runtime_is_unknown(recipe: Path) -> None:
    said = command(recipe, "check", "toy.yaml", paths=())
    assert said.returncode == 1
    assert "toy" in said.stderr
    assert command(recipe, "check", "toy.yaml").returncode == 0


@pytest.mark.parametrize(
    ("line", "code"),
    [("broken = no_such_module:RUNTIME", "T040"), ("other = toy_runtime:RUNTIME", "T040"),
     ("vmlx = toy_runtime:RUNTIME", "T041")],
)  # fmt: skip
def test_a_package_that_adds_a_broken_runtime_is_named(
    recipe: Path, tiny: Checkpoint, tmp_path: Path, line: str, code: str
) -> None:
    info = tmp_path / "broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[dsv4recipe.runtimes]\n{line}\n")
    said = command(recipe, "plan", "q4q8", "--source", str(tiny.folder.root), paths=(TOY, tmp_path))
    assert said.returncode != 0
    assert f"[{code}]" in said.stderr
    assert "Traceback" not in said.stderr
