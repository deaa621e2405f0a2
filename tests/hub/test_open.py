"""A checkpoint on the hub is the checkpoint in a folder: same digests, same plan; and what opening it costs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import constants, snapshot_download

from dsv4recipe import RecipeError, load_recipe, make_plan, open_checkpoint
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.checkpoint.source import FolderSource
from dsv4recipe.cli.main import run
from dsv4recipe.plan.canonical import dump_plan
from tests.hub.server import COMMIT, Faults, Hub

REPO = "deepseek-ai/DeepSeek-V4-Flash"
ADDRESS = f"hf://{REPO}"
OTHER = "0123456789abcdef0123456789abcdef01234567"


def refused(address: str) -> tuple[str, str]:
    with pytest.raises(RecipeError) as caught:
        open_checkpoint(address)
    (found,) = caught.value.diagnostics
    return found.code, str(caught.value)


def test_at_full_size_only_headers_are_read(hub: Hub, full: Checkpoint) -> None:
    root = full.folder.root
    hub.add(REPO, root, digests={path.name: f"{n:064x}" for n, path in enumerate(root.glob("*.safetensors"))})
    checkpoint = open_checkpoint(ADDRESS)
    headers = sum(header.data_start for header in full.folder.files)
    assert hub.bytes_of(".safetensors") == headers == 7_663_144
    assert len(hub.asked) <= 150
    assert (checkpoint.folder.tensors, checkpoint.folder.bytes) == (69_187, 159_609_485_896)
    recipe = load_recipe("q4q8")
    plan = make_plan(recipe, checkpoint)
    assert plan.source.origin == {"model": REPO, "revision": checkpoint.folder.origin.commit}
    assert dump_plan(replace(plan, source=replace(plan.source, origin=None))) == dump_plan(make_plan(recipe, full))


def test_a_plain_id_is_the_hub_unless_a_folder_of_that_name_is_here(
    hub: Hub, tiny_source: Path, tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add(REPO, tiny_source)
    monkeypatch.chdir(tmp_path)
    assert open_checkpoint(REPO).folder.header_digest == tiny.folder.header_digest
    code, text = refused("deepseek-ai/DeepSeek-V4-Flush")
    assert code == "H005"
    assert (
        "there is no folder deepseek-ai/DeepSeek-V4-Flush, so it was read as the name of a repository on the hub"
        in text
    )
    Path("deepseek-ai").mkdir()
    hub.forget()
    code, text = refused(REPO)
    assert (code, hub.asked) == ("C001", [])
    assert "or hf://org/repo" in text
    assert refused("hf://only-a-name")[0] == "H001"


def test_the_commit_goes_into_the_plan_and_a_revision_that_moves_is_noticed(
    hub: Hub, tiny_source: Path, source_copy: Path
) -> None:
    hub.add(REPO, tiny_source)
    loose = load_recipe("q4q8")
    loose = replace(loose, source=replace(loose.source, revision=""))
    plan = make_plan(loose, open_checkpoint(ADDRESS))
    assert (plan.source.model, plan.source.revision) == (REPO, COMMIT)
    hub.add(REPO, source_copy, OTHER)
    moved = make_plan(loose, open_checkpoint(ADDRESS))
    assert moved.source.revision == OTHER
    pinned = make_plan(loose, open_checkpoint(f"{ADDRESS}@{COMMIT}"))
    assert pinned == plan != moved


def test_a_recipe_s_pin_is_what_a_repository_without_a_revision_means(
    hub: Hub, tiny_source: Path, source_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pin = load_recipe("q4q8").source.revision
    hub.add(REPO, tiny_source, pin)
    hub.add(REPO, source_copy, OTHER)  # what the main branch is now
    assert run(["plan", "q4q8", "--source", ADDRESS, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["source"]["revision"] == pin
    assert run(["plan", "q4q8", "--source", f"{ADDRESS}@{OTHER}", "--json"]) == 1
    assert [each["code"] for each in json.loads(capsys.readouterr().out)["errors"]] == ["P006"]


def test_a_token_goes_to_the_hub_and_nowhere_else(
    hub: Hub, tiny_source: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    hub.add(REPO, tiny_source, gated=True, tokens={"hf_good"})
    code, text = refused(ADDRESS)
    assert code == "H004"
    assert "no token is set up here" in text
    monkeypatch.setenv("HF_TOKEN", "hf_stranger")
    code, text = refused(ADDRESS)
    assert code == "H004"
    assert "your token has no access" in text
    monkeypatch.setenv("HF_TOKEN", "expired")
    code, text = refused(ADDRESS)
    assert code == "H004"
    assert "refuses the token" in text
    monkeypatch.setenv("HF_TOKEN", "hf_good")
    hub.forget()
    open_checkpoint(ADDRESS)
    shown = capfd.readouterr()
    assert not [word for word in ("hf_stranger", "expired", "hf_good") if word in text + shown.out + shown.err]
    assert {each.authorized for each in hub.asked if each.storage} == {False}
    assert {each.authorized for each in hub.asked if "/resolve/" in each.path} == {True}


def test_no_such_repository_revision_or_network(hub: Hub, tiny_source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add(REPO, tiny_source)
    code, text = refused("hf://nobody/nothing")
    assert code == "H005"
    assert "the hub has no repository nobody/nothing" in text
    code, text = refused(f"{ADDRESS}@no-such-branch")
    assert code == "H006"
    assert f"{REPO} has no revision 'no-such-branch'" in text
    hub.faults.down = True
    code, text = refused(ADDRESS)
    assert code == "H009"
    assert "answered 503" in text
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    code, text = refused(ADDRESS)
    assert code == "H002"
    assert "http://127.0.0.1:9 cannot be reached (ConnectError)" in text


def test_a_file_that_changed_under_its_name(hub: Hub, tiny_source: Path, source_copy: Path) -> None:
    repo = hub.add(REPO, tiny_source)
    checkpoint = open_checkpoint(ADDRESS)
    hub.add(REPO, source_copy, OTHER)
    name = "model-00003-of-00007.safetensors"
    (source_copy / name).write_bytes((source_copy / name).read_bytes() + b"more")
    hub.add("other/one", source_copy)
    repo.commits[COMMIT][name] = hub.repos["other/one"].commits[COMMIT][name]
    source = checkpoint.folder.source
    source.repository._places.clear()  # type: ignore[attr-defined]
    with pytest.raises(RecipeError) as caught:
        source.read(name, 0, 100)
    (found,) = caught.value.diagnostics
    assert found.code == "H007"
    assert found.message.startswith(f"{name} changed on the hub: it has ")


def test_a_hub_or_proxy_that_knows_no_ranges_is_not_swallowed_whole(hub: Hub, tiny_source: Path) -> None:
    hub.add(REPO, tiny_source)
    hub.faults = Faults(ignore_ranges=True)
    code, text = refused(ADDRESS)
    assert code == "H009"
    assert "the status was 200, but a range was requested" in text


def test_a_small_file_with_other_bytes_is_refused(hub: Hub, source_copy: Path) -> None:
    hub.add(REPO, source_copy)
    config = source_copy / "config.json"
    config.write_bytes(config.read_bytes().replace(b"512", b"513", 1))
    code, text = refused(ADDRESS)
    assert code == "H008"
    assert "config.json has the digest" in text


def test_offline_reads_the_cache_and_says_what_it_lacks(
    hub: Hub, tiny_source: Path, tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add(REPO, tiny_source)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    code, text = refused(ADDRESS)
    assert code == "H003"
    assert "the cache does not hold the repository" in text
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    snapshot_download(REPO)
    hub.forget()
    for offline in (True, False):
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
        checkpoint = open_checkpoint(ADDRESS)
        assert isinstance(checkpoint.folder.source, FolderSource)
        assert checkpoint.folder.header_digest == tiny.folder.header_digest
        assert make_plan(load_recipe("q4q8"), checkpoint).source.revision == COMMIT
    assert [each.path for each in hub.asked if "agent" not in each.path] == [f"/api/models/{REPO}?blobs=true"]


FILE = b'{"rfilename": "config.json", "size": 5, "blobId": "aa"}'
PAGES = (
    b"",
    b"<html><body>Sign in to the network</body></html>",
    b"{}",
    b"[]",
    b"null",
    b"[" * 5000,
    b"\xff\xfe",
    b'{"id": "a/b", "sha": "x"}',
    b'{"id": "a/b", "sha": 7, "siblings": [%s]}' % FILE,
    b'{"id": "a/b", "sha": "x", "siblings": [3]}',
    b'{"id": "a/b", "sha": "x", "siblings": [{"rfilename": "config.json"}]}',
    b'{"id": "a/b", "sha": "x", "siblings": [%s]}' % FILE.replace(b"5", b'"5"'),
    b'{"id": "a/b", "sha": "x", "siblings": [%s]}' % FILE.replace(b"5", b"-5"),
    b'{"id": "a/b", "sha": "x", "siblings": [%s]}' % FILE.replace(b'"config.json"', b"null"),
    b'{"id": "a/b", "sha": "x", "siblings": [%s]}' % FILE.replace(b'"aa"', b'"aa", "lfs": 4'),
)


@pytest.mark.parametrize("page", PAGES)
def test_an_endpoint_that_answers_with_something_else_is_refused_in_our_words(hub: Hub, page: bytes) -> None:
    hub.faults.page = page
    code, text = refused(ADDRESS)
    assert code == "H009"
    assert "the hub gave wrong bytes while looking up the repository" in text
    assert "check HF_ENDPOINT and proxies" in text


def test_a_page_in_place_of_a_file_is_refused(hub: Hub, tiny_source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add(REPO, tiny_source)
    source = open_checkpoint(ADDRESS).folder.source
    source.repository.tries, source.repository.wait = 3, lambda _: None  # type: ignore[attr-defined]
    source.repository._places.clear()  # type: ignore[attr-defined]
    hub.faults.page = b"<html>"
    with pytest.raises(RecipeError) as caught:
        source.small("config.json", 1 << 20)
    (found,) = caught.value.diagnostics
    assert found.code == "H009"
    assert "unlike any hub's" in found.message
