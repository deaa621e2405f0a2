"""push: one commit, the hub's tree equal to the bundle, nothing sent twice, refusals with codes."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import constants

from dsv4recipe import build, load_recipe, make_plan, push
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.cli.main import run
from dsv4recipe.errors import RecipeError
from dsv4recipe.publish.upload import Pushed
from tests.hub.server import Hub

KILLS = int(os.environ.get("DSV4RECIPE_CASES", "3"))
NAME = "org/bundle"


@pytest.fixture(scope="module")
def made(tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("push") / "q4q8"
    recipe = load_recipe("q4q8")
    build(make_plan(recipe, tiny), tiny, out)
    return out


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "bundle"))


@pytest.fixture(autouse=True)
def token(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    return "hf_secret"


def held(hub: Hub, branch: str = "main") -> dict[str, bytes]:
    repo = hub.repos[NAME]
    return {name: stored.path.read_bytes() for name, stored in repo.commits[repo.branches[branch]].items()}


def files(bundle: Path) -> dict[str, bytes]:
    return {path.relative_to(bundle).as_posix(): path.read_bytes() for path in bundle.rglob("*") if path.is_file()}


def codes(error: RecipeError) -> set[str]:
    return {finding.code for finding in error.diagnostics}


def test_what_arrives_is_the_bundle_in_one_commit(hub: Hub, bundle: Path) -> None:
    done = push(bundle, NAME)
    assert isinstance(done, Pushed)
    assert held(hub) == files(bundle)
    assert hub.kept.commits == 1
    assert done.sent == sum(map(len, files(bundle).values()))
    again = push(bundle, NAME)
    assert isinstance(again, Pushed)
    assert (again.sent, hub.kept.commits, again.address) == (0, 1, done.address)


def test_a_branch(hub: Hub, bundle: Path) -> None:
    push(bundle, NAME, revision="v2")
    assert held(hub, "v2") == files(bundle)
    assert held(hub, "main") == {}


def test_an_edited_card_is_the_only_thing_sent_again(hub: Hub, bundle: Path) -> None:
    push(bundle, NAME)
    card = bundle / "README.md"
    card.write_text(card.read_text() + "\nMore.\n")
    done = push(bundle, NAME)
    assert isinstance(done, Pushed)
    assert done.sent == card.stat().st_size
    assert held(hub) == files(bundle)


def test_shards_of_an_older_upload_are_not_left_beside_new_ones(hub: Hub, bundle: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    (old / "model-00001-of-00002.safetensors").write_bytes(b"old")
    hub.add(NAME, old)
    with pytest.raises(RecipeError) as refused:
        push(bundle, NAME)
    assert codes(refused.value) == {"W004"}
    push(bundle, NAME, replace=True)
    assert held(hub) == files(bundle)


def test_a_damaged_bundle_is_not_uploaded(hub: Hub, bundle: Path) -> None:
    shard = next(bundle.glob("*.safetensors"))
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    with pytest.raises(RecipeError) as refused:
        push(bundle, NAME)
    assert "V012" in codes(refused.value) or "V011" in codes(refused.value)
    assert not hub.asked


def test_a_card_without_front_matter(bundle: Path) -> None:
    (bundle / "README.md").write_text("# A bundle\n")
    with pytest.raises(RecipeError) as refused:
        push(bundle, NAME)
    assert codes(refused.value) == {"W003"}


def test_a_file_that_is_changed_on_the_hub_is_found_by_name(hub: Hub, bundle: Path) -> None:
    hub.kept.tamper = "config.json"
    with pytest.raises(RecipeError, match=r"config\.json") as refused:
        push(bundle, NAME)
    assert codes(refused.value) == {"W005"}


@pytest.mark.parametrize(
    ("place", "status", "kind", "body", "code"),
    [
        ("repos/create", 401, "application/json", b"{}", "H004"),
        ("repos/create", 403, "application/json", b"{}", "H004"),
        ("commit", 409, "application/json", b"{}", "H013"),
        ("commit", 412, "application/json", b"{}", "H013"),
        ("/put/", 413, "application/json", b"{}", "H014"),
        ("objects/batch", 429, "application/json", b"{}", "H009"),
        ("preupload", 500, "application/json", b"{}", "H009"),
        ("preupload", 200, "text/html", b"<html>a proxy's page</html>", "H009"),
        ("commit", 200, "text/html", b"<html>a proxy's page</html>", "H009"),
    ],
)
def test_what_the_hub_refuses_has_a_code(
    hub: Hub, bundle: Path, token: str, monkeypatch: pytest.MonkeyPatch,
    place: str, status: int, kind: str, body: bytes, code: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    hub.kept.refuse[place] = (status, kind, body)
    with pytest.raises(RecipeError) as refused:
        push(bundle, NAME)
    assert codes(refused.value) == {code}
    assert token not in str(refused.value)
    assert refused.value.diagnostics[0].hint


def test_a_dry_run_asks_nothing(hub: Hub, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["push", str(bundle), NAME, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "dsv4recipe.manifest.json" in out.splitlines()[-2]
    assert not hub.asked
    assert run(["push", str(bundle), "no-org", "--dry-run"]) == 1
    assert "W002" in capsys.readouterr().err


def test_an_upload_that_is_killed_goes_on(hub: Hub, tiny: Checkpoint, tmp_path: Path) -> None:
    """Killed behind the n-th request, for n drawn from all of an upload, and run again: complete, identical, no shard
    stored twice. DSV4RECIPE_CASES=100 kills a hundred times."""
    recipe = load_recipe("q4q8")
    several = replace(recipe, target=replace(recipe.target, shard_size=1 << 20))
    bundle = build(make_plan(several, tiny), tiny, tmp_path / "bundle")
    push(bundle, NAME)
    draw, requests, shards = random.Random(17), len(hub.asked), len(list(bundle.glob("model*.safetensors")))
    assert shards > 3
    command = [sys.executable, "-m", "dsv4recipe", "push", str(bundle), NAME]
    for number in range(KILLS):
        if number % 3 == 0:  # from the beginning again, with nothing in the storage
            hub.repos.pop(NAME)
            for stored in hub.kept.folder.iterdir():
                stored.unlink()
            assert set(hub.kept.sent.values()) == {1}
            hub.kept.sent.clear()
        hub.asked.clear()
        killed_at = draw.randrange(requests)
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while child.poll() is None and len(hub.asked) <= killed_at:
            time.sleep(0.001)
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert (held(hub) if NAME in hub.repos else {}) in ({}, files(bundle))  # one commit, or none
        if number % 3 == 2:
            push(bundle, NAME)
            assert held(hub) == files(bundle)
    push(bundle, NAME)
    assert held(hub) == files(bundle)
    assert (len(hub.kept.sent), set(hub.kept.sent.values())) == (shards, {1})
