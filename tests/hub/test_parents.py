"""A recipe whose parent lies on the hub, read by the real client."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import constants

from dsv4recipe.errors import RecipeError
from dsv4recipe.recipe import load_recipe
from tests.hub.server import COMMIT, Hub
from tests.recipe.test_extends import base, rule, write


def child(folder: Path, parent: str) -> Path:
    return write(folder, "c.yaml", f"recipe: 1\nname: c\nextends: hf://org/repo/{parent}@{COMMIT}\n")


def test_a_parent_and_its_neighbour_and_again_without_a_network(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "hub/recipes/base.yaml", base("a"))
    write(tmp_path, "hub/recipes/top/mid.yaml", "recipe: 1\nname: mid\nextends: ../base.yaml\nrules:\n" + rule("m"))
    hub.add("org/repo", tmp_path / "hub")
    recipe = load_recipe(child(tmp_path, "recipes/top/mid.yaml"))
    assert [each.id for each in recipe.rules] == ["m", "a"]
    assert dict(recipe.origins)["a"] == f"hf://org/repo/recipes/base.yaml@{COMMIT}"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.forget()
    assert load_recipe(child(tmp_path, "recipes/top/mid.yaml")) == recipe
    assert hub.asked == []


@pytest.mark.parametrize("inside", ["../../base.yaml", "/etc/base.yaml"])
def test_a_parent_stays_in_its_repository(hub: Hub, inside: str, tmp_path: Path) -> None:
    write(tmp_path, "hub/mid.yaml", f"recipe: 1\nname: mid\nextends: {inside}\n")
    hub.add("org/repo", tmp_path / "hub")
    path = child(tmp_path, "mid.yaml")
    with pytest.raises(RecipeError) as error:
        load_recipe(path)
    assert error.value.diagnostics[0].code == "R042"
    assert error.value.diagnostics[0].notes == (f"it is extended by {path}:3:10",)


def test_a_parent_that_is_not_there_or_not_for_us(hub: Hub, tmp_path: Path) -> None:
    write(tmp_path, "hub/base.yaml", base("a"))
    hub.add("org/repo", tmp_path / "hub", gated=True)
    path = child(tmp_path, "none.yaml")
    for gated, words in ((True, "org/repo is gated, and no token is set up here"), (False, "the hub has no such file")):
        hub.repos["org/repo"].gated = gated
        with pytest.raises(RecipeError) as error:
            load_recipe(path)
        (found,) = error.value.diagnostics
        assert (found.code, found.where.file, found.where.line) == ("R040", str(path), 3)
        assert words in found.message


def test_a_network_that_is_down_is_told_at_once_and_a_cached_parent_does_not_need_it(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "hub/base.yaml", base("a"))
    write(tmp_path, "hub/other.yaml", base("b"))
    hub.add("org/repo", tmp_path / "hub")
    recipe = load_recipe(child(tmp_path, "base.yaml"))
    hub.forget()
    assert load_recipe(child(tmp_path, "base.yaml")) == recipe
    assert hub.asked == []
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(hub.endpoint, "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    assert load_recipe(child(tmp_path, "base.yaml")) == recipe
    capfd.readouterr()
    with pytest.raises(RecipeError) as error:
        load_recipe(child(tmp_path, "other.yaml"))
    (found,) = error.value.diagnostics
    assert found.code == "R040"
    assert "http://127.0.0.1:9 cannot be reached" in found.message
    assert found.hint.startswith("check network and proxy")
    assert "unset" not in found.hint
    assert capfd.readouterr().err == ""


def test_a_page_in_place_of_a_parent_is_refused(hub: Hub, tmp_path: Path) -> None:
    hub.faults.page = b"<html>"
    with pytest.raises(RecipeError) as error:
        load_recipe(child(tmp_path, "base.yaml"))
    assert "unlike any hub's" in error.value.diagnostics[0].message
