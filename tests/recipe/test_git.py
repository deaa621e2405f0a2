"""Recipes in git repositories: one pinned commit, read once, parents beside it, nothing else."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from dsv4recipe import load_recipe
from dsv4recipe.cli.main import run
from dsv4recipe.errors import RecipeError

CHILD = "recipe: 1\nname: child\nextends: ./base.yaml\n"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A repository with a recipe and its parent: the start of its addresses, with the commit."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = tmp_path / "repo"
    (root / "recipes").mkdir(parents=True)
    (root / "recipes" / "child.yaml").write_text(CHILD)
    (root / "recipes" / "base.yaml").write_text("recipe: 1\nname: base\nextends: q4q8\n")
    (root / "recipes" / "outside.yaml").write_text("recipe: 1\nname: outside\nextends: ../../secret.yaml\n")
    (root / "large.yaml").write_text("#" * (1 << 20) + "\n")
    who = ("-c", "user.name=A", "-c", "user.email=a@b.example")
    for command in (("init", "-q"), ("add", "."), (*who, "commit", "-qm", "Recipes")):
        subprocess.run(["git", *command], cwd=root, check=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, check=True, capture_output=True, text=True).stdout
    return f"git+file://{root}@{commit.strip()}#"


def codes(reference: str) -> list[str]:
    with pytest.raises(RecipeError) as refused:
        load_recipe(reference)
    return [found.code for found in refused.value.diagnostics]


def test_a_recipe_with_a_parent_beside_it(repository: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = load_recipe(f"{repository}recipes/child.yaml")
    assert found.name == "child"
    assert [rule.id for rule in found.rules] == [rule.id for rule in load_recipe("q4q8").rules]
    assert run(["check", f"{repository}recipes/child.yaml"]) == 0
    assert run(["show", f"{repository}recipes/child.yaml"]) == 0
    assert run(["plan", f"{repository}recipes/child.yaml"]) == 0
    assert "185,739,533,896 B" in capsys.readouterr().out


def test_a_commit_is_fetched_once(repository: str) -> None:
    load_recipe(f"{repository}recipes/child.yaml")
    shutil.rmtree(repository.removeprefix("git+file://").partition("@")[0])
    assert load_recipe(f"{repository}recipes/child.yaml").name == "child"


def test_what_is_refused(repository: str, tmp_path: Path) -> None:
    assert codes(f"{repository}recipes/absent.yaml") == ["R040"]
    assert codes(f"{repository}recipes/outside.yaml") == ["R042"]
    assert codes(f"{repository}large.yaml") == ["R006"]
    start, _, _ = repository.rpartition("@")
    assert codes(f"{start}@main#recipes/child.yaml") == ["R042"]
    assert codes(f"{start}@{'0' * 40}#recipes/child.yaml") == ["R040"]
    assert codes(f"git+ext::sh -c true@{'0' * 40}#a.yaml") == ["R042"]
    assert codes(f"git+file://{tmp_path}/nowhere@{'0' * 40}#a.yaml") == ["R040"]


def test_an_address_with_a_password_is_refused_and_not_repeated() -> None:
    with pytest.raises(RecipeError) as refused:
        load_recipe(f"git+https://me:secret@127.0.0.1:1/org/repo@{'0' * 40}#a.yaml")
    assert refused.value.diagnostics[0].code == "R042"
    assert "secret" not in str(refused.value)
