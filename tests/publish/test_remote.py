"""Bundles on the hub, looked at without their weights; recipes there, by commit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dsv4recipe import build, diff, load_recipe, make_plan
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.cli.main import run
from dsv4recipe.publish import remote
from tests.hub.server import COMMIT, Hub

NAME = "hf://org/bundle"


@pytest.fixture(scope="module")
def made(tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("remote") / "q4q8"
    build(make_plan(load_recipe("q4q8"), tiny), tiny, out)
    return out


@pytest.fixture
def bundle(made: Path, tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the bundle, which the hub serves too."""
    monkeypatch.setattr(remote, "_open", {})
    root = Path(shutil.copytree(made, tmp_path / "bundle"))
    hub.add("org/bundle", root)
    return root


def said(capsys: pytest.CaptureFixture[str], *command: str) -> tuple[int, dict]:  # type: ignore[type-arg]
    code = run([*command, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_it_is_read_like_a_folder_and_no_weight_is(
    hub: Hub, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(capsys, "inspect", NAME) == said(capsys, "inspect", str(bundle))
    assert diff(NAME, bundle).empty
    there, here = tmp_path / "there.yaml", tmp_path / "here.yaml"
    assert run(["decompile", NAME, "-o", str(there)]) == 0
    assert run(["decompile", str(bundle), "-o", str(here)]) == 0
    assert there.read_text().replace("there", "here") == here.read_text()
    capsys.readouterr()
    code, proof = said(capsys, "verify", f"{NAME}@{COMMIT}")
    assert code == 0
    assert [step["name"] for step in proof["steps"]] == ["integrity", "contract"]
    assert proof["bundle"] == f"{NAME}@{COMMIT}"
    shard = next(bundle.glob("*.safetensors"))
    assert hub.bytes_of(shard.name) < shard.stat().st_size / 20


@pytest.mark.parametrize(("name", "code"), [("model-00001-of-00001.safetensors", "V012"), ("config.json", "V012")])
def test_a_file_with_other_bytes_is_found_by_name(
    hub: Hub, bundle: Path, capsys: pytest.CaptureFixture[str], name: str, code: str
) -> None:
    data = bytearray((bundle / name).read_bytes())
    data[-2] ^= 1 if name.endswith("tensors") else 0
    if name == "config.json":
        data = bytearray(data.replace(b"  ", b"\t ", 1))
    (bundle / name).write_bytes(data)
    hub.add("org/bundle", bundle)
    exit_code, proof = said(capsys, "verify", NAME)
    assert exit_code == 3
    (finding,) = proof["steps"][0]["findings"]
    assert finding["code"] == code
    assert name in finding["message"]
    assert finding["where"]["file"].startswith("hf://org/bundle@")


def test_what_needs_the_weights_is_refused(bundle: Path, tiny_source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", NAME, "--source", str(tiny_source)]) == 1
    assert "H015" in capsys.readouterr().err


def test_a_checkpoint_is_no_bundle(
    hub: Hub, bundle: Path, tiny_source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.add("org/source", tiny_source)
    assert said(capsys, "inspect", "hf://org/source")[1]["kind"] == "checkpoint"
    assert run(["verify", "hf://org/source"]) == 1
    assert "V020" in capsys.readouterr().err


def test_a_recipe_on_the_hub(hub: Hub, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", f"hf://org/bundle/recipe.yaml@{COMMIT}"]) == 0
    assert run(["show", "hf://org/bundle/recipe.yaml@main"]) == 1
    assert "R042" in capsys.readouterr().err
