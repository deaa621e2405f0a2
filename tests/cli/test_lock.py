"""`lock` and `build --locked`: stale exactly when locking again would write other bytes, and it says what moved."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dsv4recipe.api.lock import lock_path
from tests.calling import Captured, call
from tests.recipes import SOUND

Change = Callable[[Path, Path], None]
BASE = SOUND.replace("name: sound", "name: base")
HOUSE = """\
recipe: 1
extends: ./base.yaml
name: house
summary: House variant.
rules:
  - id: shared
    match: {role: shared-expert}
    format: {affine: {bits: 6, group-size: 64}}
"""


@pytest.fixture
def house(tmp_path: Path, source_copy: Path, capsys: Captured) -> Path:
    """A locked recipe with a parent."""
    (tmp_path / "base.yaml").write_text(BASE)
    path = tmp_path / "house.yaml"
    path.write_text(HOUSE)
    assert call(capsys, "lock", path, "--source", source_copy)[0] == 0
    return path


def replaced(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def in_parent(old: str, new: str) -> Change:
    return lambda house, source: replaced(house.parent / "base.yaml", old, new)


def in_house(old: str, new: str) -> Change:
    return lambda house, source: replaced(house, old, new)


def in_source(file: str) -> Change:
    return lambda house, source: replaced(source / file, "}", " }")


PARENT = "~ parents../base.yaml.sha256: "
CHANGES: list[tuple[str, Change, tuple[str, ...]]] = [
    ("nothing", lambda house, source: None, ()),
    ("a comment", in_house("rules:", "# why\nrules:"), ()),
    ("a comment in the parent", in_parent("rules:", "# why\nrules:"), ()),
    ("a tokenizer", in_source("tokenizer_config.json"), ()),
    (
        "a rule",
        in_house("bits: 6", "bits: 5"),
        (
            "~ recipe.rules.shared.format.affine.bits: 6 → 5",
            "~ plan: ",
            "×12: affine 6-bit g64 → affine 5-bit g64 (-49,152 B)",
        ),
    ),
    (
        "a note",
        in_house("group-size: 64}}", "group-size: 64}}\n    note: smaller"),
        ("+ recipe.rules.shared.note: smaller", "with this source, both plan to the same bundle"),
    ),
    (
        "the parent",
        in_parent("bits: 4", "bits: 3"),
        (PARENT, "~ recipe.rules.routed-experts.format.affine.bits: 4 → 3"),
    ),
    ("a parent's word that no one inherits", in_parent("name: base", "name: b"), (PARENT,)),
    ("the config", in_source("config.json"), ("~ source.config: ", "~ plan: ")),
]


@pytest.mark.parametrize(("what", "change", "said"), CHANGES, ids=[name for name, *_ in CHANGES])
def test_stale_exactly_when_locking_again_writes_other_bytes(
    what: str, change: Change, said: tuple[str, ...], house: Path, source_copy: Path, capsys: Captured
) -> None:
    lock = lock_path(str(house))
    locked = lock.read_bytes()
    change(house, source_copy)
    code, _, err = call(capsys, "lock", house, "--source", source_copy, "--check")
    assert lock.read_bytes() == locked
    assert call(capsys, "lock", house, "--source", source_copy)[0] == 0
    assert (code == 1) == (lock.read_bytes() != locked) == bool(said)
    assert ("error[P050]: the lock is stale" in err) == bool(said)
    for each in said:
        assert each in err
    assert call(capsys, "lock", house, "--source", source_copy, "--check")[0] == 0


def test_a_shard_with_another_header_is_named(house: Path, source_copy: Path, capsys: Captured) -> None:
    shard = source_copy / "model-00002-of-00007.safetensors"
    data = shard.read_bytes()
    length = int.from_bytes(data[:8], "little")
    shard.write_bytes((length + 8).to_bytes(8, "little") + data[8 : 8 + length] + b" " * 8 + data[8 + length :])
    code, _, err = call(capsys, "build", house, "--source", source_copy, "-o", house.parent / "out", "--locked")
    assert code == 1
    assert f"~ source.files.{shard.name}.size: {len(data)} → {len(data) + 8}" in err
    assert f"~ source.files.{shard.name}.header: " in err
    assert "model-00001" not in err
    assert not (house.parent / "out").exists()


def test_a_locked_build_builds_the_locked_plan(house: Path, source_copy: Path, capsys: Captured) -> None:
    out = house.parent / "out"
    assert call(capsys, "build", house, "--source", source_copy, "-o", out, "--locked", "--json")[0] == 0
    lock = json.loads(house.with_suffix(".lock").read_text())
    assert json.loads((out / "dsv4recipe.manifest.json").read_text())["plan"] == lock["plan"]


def test_a_lock_tells_of_no_machine(house: Path, source_copy: Path, tmp_path: Path, capsys: Captured) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("base.yaml", "house.yaml"):
        shutil.copy(tmp_path / name, elsewhere)
    source = shutil.copytree(source_copy, elsewhere / "model")
    assert call(capsys, "lock", elsewhere / "house.yaml", "--source", source)[0] == 0
    text = (elsewhere / "house.lock").read_text()
    assert text == (tmp_path / "house.lock").read_text()
    assert str(tmp_path) not in text
    data = json.loads(text)
    assert set(data) == {"lock", "plan", "recipe", "parents", "source", "tool"}
    assert [parent["extends"] for parent in data["parents"]] == ["./base.yaml"]
    assert len(data["source"]["files"]) == 7


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"lock": 1}', "[" * 100_000, '{"lock": 2, "recipe": {"rules": []}}'])
def test_what_is_no_lock_is_refused(text: str, house: Path, source_copy: Path, capsys: Captured) -> None:
    house.with_suffix(".lock").write_text(text)
    code, _, err = call(capsys, "build", house, "--source", source_copy, "-o", house.parent / "out", "--locked")
    assert code == 1
    assert "error[P051]" in err


def test_a_file_that_is_no_text_is_neither_used_nor_written_over(
    house: Path, source_copy: Path, capsys: Captured
) -> None:
    house.with_suffix(".lock").write_bytes(b"\xff\xfe")
    for found, arguments in (
        ("U003", ("lock", house)),
        ("P051", ("build", house, "--locked", "-o", house.parent / "out")),
    ):
        code, _, err = call(capsys, *arguments, "--source", source_copy)
        assert code == 1
        assert f"error[{found}]" in err
    assert house.with_suffix(".lock").read_bytes() == b"\xff\xfe"


def test_no_lock_and_no_recipe(house: Path, source_copy: Path, capsys: Captured) -> None:
    house.with_suffix(".lock").unlink()
    arguments = ("--source", source_copy, "-o", house.parent / "out", "--locked")
    code, _, err = call(capsys, "build", house, *arguments)
    assert code == 1
    assert "error[P052]: there is no lock at" in err
    plan = house.parent / "plan.json"
    assert call(capsys, "plan", house, "--source", source_copy, "-o", plan)[0] == 0
    code, _, err = call(capsys, "build", plan, *arguments)
    assert code == 1
    assert "error[P053]" in err
