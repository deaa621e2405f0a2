"""The wheel, installed outside the checkout, has its recipes and schemas and runs."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", folder, CHECKOUT], check=True, capture_output=True)
    wheel = next(folder.glob("dsv4recipe-*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def run(installed: Path, cwd: Path, *arguments: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-m", "dsv4recipe", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=True).stdout


def test_the_wheel_finds_its_recipes_and_schemas(installed: Path, tmp_path: Path) -> None:
    shipped = {path.stem for path in (CHECKOUT / "recipes").glob("*.yaml")}
    listed = [line.split()[0] for line in run(installed, tmp_path, "recipes").splitlines()]
    assert set(listed[:-2]) == shipped, "two lines follow that say what the figures were measured on"
    assert run(installed, tmp_path, "schema", "recipe") == (CHECKOUT / "schemas" / "recipe.schema.json").read_text()


def test_the_wheel_runs_the_demo(installed: Path, tmp_path: Path) -> None:
    out = run(installed, tmp_path, "demo", "here")
    assert "verified" in out
    assert (tmp_path / "here" / "q4q8" / "dsv4recipe.manifest.json").is_file()


def test_the_wheel_has_the_template_of_the_report(installed: Path, tmp_path: Path) -> None:
    run(installed, tmp_path, "synth", "source")
    run(installed, tmp_path, "report", "q4q8", "--source", "source", "-o", "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_the_wheel_is_typed_and_names_its_licence(installed: Path) -> None:
    assert (installed / "dsv4recipe" / "py.typed").is_file()
    assert list(installed.glob("dsv4recipe-*.dist-info/licenses/LICENSE"))
