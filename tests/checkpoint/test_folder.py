"""Opening a source folder: what belongs to it, and every way in which it can be broken, with the sentence for it."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dsv4recipe.checkpoint.folder import Folder, open_folder
from dsv4recipe.checkpoint.synth import synthesize
from dsv4recipe.errors import RecipeError
from dsv4recipe.headers.safetensors import header_bytes

INDEX = "model.safetensors.index.json"
SECOND = "model-00002-of-00007.safetensors"


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound checkpoint, headers only; copied, never changed."""
    return synthesize(tmp_path_factory.mktemp("source") / "tiny", headers_only=True).root


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny, tmp_path / "copy"))


def findings(path: Path) -> list[tuple[str, str]]:
    with pytest.raises(RecipeError) as caught:
        open_folder(path)
    return [(found.code, found.message) for found in caught.value.diagnostics]


def edit_index(root: Path, change: Callable[[dict[str, Any]], object]) -> None:
    index = json.loads((root / INDEX).read_text())
    change(index["weight_map"])
    (root / INDEX).write_text(json.dumps(index))


def write_shard(path: Path, *names: str) -> None:
    path.write_bytes(header_bytes((name, "U8", (1,)) for name in names) + bytes(len(names)))


def test_a_sound_folder(tiny: Path) -> None:
    folder = open_folder(tiny)
    assert (folder.tensors, folder.bytes, len(folder.files)) == (416, 6_415_978, 7)
    assert [header.file for header in folder.files] == [f"model-{n:05d}-of-00007.safetensors" for n in range(1, 8)]
    assert folder.config_digest == hashlib.sha256((tiny / "config.json").read_bytes()).hexdigest()
    assert folder.config["vocab_size"] == 512
    header, entry = folder.where("layers.3.ffn.experts.7.w2.weight")
    assert (header.file, entry.dtype, entry.shape) == ("model-00005-of-00007.safetensors", "I8", (256, 64))
    lines = "".join(f"{header.file} {header.digest}\n" for header in folder.files)
    assert folder.header_digest == hashlib.sha256(lines.encode()).hexdigest()


def test_without_its_index_the_numbered_set_is_the_same_checkpoint(tiny: Path, copy: Path) -> None:
    (copy / INDEX).unlink()
    assert open_folder(copy).header_digest == open_folder(tiny).header_digest


def test_one_file_without_an_index(copy: Path, tmp_path: Path) -> None:
    root = tmp_path / "single"
    root.mkdir()
    shutil.copy(copy / "config.json", root)
    write_shard(root / "model.safetensors", "a", "b")
    (root / "._model.safetensors").write_bytes(b"a file manager's notes")
    assert [header.file for header in open_folder(root).files] == ["model.safetensors"]


def test_the_order_of_the_listing_does_not_matter(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (copy / INDEX).unlink()
    wanted = open_folder(copy)
    listed = list(copy.iterdir())
    for seed in range(5):
        random.Random(seed).shuffle(listed)
        monkeypatch.setattr(Path, "iterdir", lambda _: iter(listed))
        again = open_folder(copy)
        assert again == Folder(wanted.source, wanted.config, wanted.config_digest, wanted.files)


def test_header_digest_moves_with_a_file_name_and_a_header(copy: Path) -> None:
    before = open_folder(copy).header_digest
    last = copy / "model-00007-of-00007.safetensors"
    raw = last.read_bytes()
    last.write_bytes(raw.replace(b"mtp.0.enorm", b"mtp.0.enurm", 1))
    (copy / INDEX).unlink()
    assert open_folder(copy).header_digest != before


def test_not_a_folder(tiny: Path, tmp_path: Path) -> None:
    assert findings(tmp_path / "no") == [("C001", f"{tmp_path / 'no'} does not exist")]
    assert findings(tiny / "LICENSE") == [("C001", f"{tiny / 'LICENSE'} is a file, not a folder")]


CONFIGS = {
    "[]": "config.json must hold a JSON object",
    '{"a": 1, "a": 2}': "config.json is not valid: the key 'a' appears twice in one object",
    '{"a": {"b": 1, "b": 1}}': "config.json is not valid: the key 'b' appears twice in one object",
    '{"a": NaN}': "config.json is not valid: NaN is not JSON",
    '{"a": 1e999}': "config.json is not valid: the number 1e999 is too large",
    '{"a": ' + "9" * 5000 + "}": "config.json is not valid: it holds a number that is too long",
    '{"a":': "config.json is not valid: line 1, column 6: Expecting value",
    "[" * 100_000: "config.json is not valid: it is nested too deeply",
    '{"a": "\udcff"}': "config.json is not valid: it is not UTF-8: byte 7",
    " " * 1_000_001: "config.json is larger than 1,000,000 bytes",
}


@pytest.mark.parametrize("text", CONFIGS, ids=lambda text: ascii(text)[:16])
def test_a_broken_config(copy: Path, text: str) -> None:
    (copy / "config.json").write_bytes(text.encode(errors="surrogateescape"))
    assert findings(copy) == [("C002", CONFIGS[text])]


def test_a_missing_config_and_a_pipe_in_its_place(copy: Path) -> None:
    (copy / "config.json").unlink()
    assert findings(copy) == [("C002", "config.json is missing")]
    os.mkfifo(copy / "config.json")
    assert findings(copy) == [("C002", "config.json cannot be read: it is not a regular file")]


INDEXES = {
    "{}": f"{INDEX} must hold weight_map, an object that maps tensors to file names",
    '{"weight_map": {}}': f"{INDEX} must hold weight_map, an object that maps tensors to file names",
    '{"weight_map": {"a": 1}}': f"{INDEX} must hold weight_map, an object that maps tensors to file names",
    '{"weight_map": {"a": "x", "a": "x"}}': f"{INDEX} is not valid: the key 'a' appears twice in one object",
    "[" + "[]," * 800_000 + "0]": f"{INDEX} is not valid: it holds more than 1,500,000 values",
}


@pytest.mark.parametrize("text", INDEXES, ids=lambda text: text[:32])
def test_a_broken_index(copy: Path, text: str) -> None:
    (copy / INDEX).write_text(text)
    assert findings(copy) == [("C003", INDEXES[text])]


def test_an_index_beyond_64_megabytes_is_not_read(copy: Path) -> None:
    os.truncate(copy / INDEX, 64_000_001)
    assert findings(copy) == [("C003", f"{INDEX} is larger than 64,000,000 bytes")]


@pytest.mark.parametrize(
    "name", ["../x.safetensors", "/x.safetensors", "C:x.safetensors", "\\\\h\\x.safetensors", "a\0"]
)
def test_unsafe_names_in_the_index_open_nothing(copy: Path, name: str) -> None:
    write_shard(copy.parent / "x.safetensors", "norm.weight")
    edit_index(copy, lambda weights: weights.update({"norm.weight": name}))
    found = dict(findings(copy))
    assert sorted(found) == ["C005", "C008"]
    assert found["C005"].startswith(f"the file name {name!r} is refused: it ")
    assert found["C008"].endswith(f"holds 1 tensor that {INDEX} does not place there: norm.weight")


def test_a_shard_that_links_out_of_the_folder(copy: Path) -> None:
    shutil.move(copy / SECOND, copy.parent / "elsewhere")
    (copy / SECOND).symlink_to(copy.parent / "elsewhere")
    message = f"the file name '{SECOND}' is refused: it is a link that leads out of the folder"
    assert findings(copy) == [("C005", message)]


def test_the_index_names_something_else_than_safetensors(copy: Path) -> None:
    (copy / "weights.bin").write_bytes(b"\x80\x04.")
    edit_index(copy, lambda weights: weights.update({"x": "weights.bin"}))
    assert findings(copy) == [("C005", f"{INDEX} names 'weights.bin', which is not a .safetensors file")]


def test_a_missing_shard(copy: Path) -> None:
    (copy / SECOND).unlink()
    assert findings(copy) == [("C006", f"{INDEX} names {SECOND}, but there is no such file")]
    (copy / INDEX).unlink()
    assert findings(copy) == [("C006", "of the numbered set model-*-of-00007, 1 of the files are missing")]


def test_a_stray_shard_is_named_unless_the_caller_knows_it(copy: Path) -> None:
    write_shard(copy / "model-00008-of-00008.safetensors", "old")
    message = f"model-00008-of-00008.safetensors is in the folder but not in {INDEX}"
    assert findings(copy) == [("C007", message)]
    assert open_folder(copy, frozenset({"model-00008-of-00008.safetensors"})).tensors == 416


def test_without_an_index_two_files_are_not_guessed_at(copy: Path) -> None:
    (copy / INDEX).unlink()
    write_shard(copy / "extra.safetensors", "old")
    message = f"8 .safetensors files without {INDEX} are neither one file nor one numbered set"
    assert findings(copy) == [("C004", message)]
    for path in copy.glob("*.safetensors"):
        path.unlink()
    assert findings(copy) == [("C004", f"{copy} holds no .safetensors file")]


def test_index_and_headers_must_agree_both_ways(copy: Path) -> None:
    def move(weights: dict[str, str]) -> None:
        weights["norm.weight"] = SECOND
        del weights["embed.weight"]

    edit_index(copy, move)
    assert [code for code, _ in findings(copy)] == ["C068"]  # the files are a complete set without it
    edit_index(copy, lambda weights: weights.update(ghost=SECOND))
    assert findings(copy) == [
        ("C007", f"model-00001-of-00007.safetensors is in the folder but not in {INDEX}"),
        ("C008", f"{SECOND} lacks 2 tensors that {INDEX} places there: ghost, norm.weight"),
        ("C008", f"model-00006-of-00007.safetensors holds 1 tensor that {INDEX} does not place there: norm.weight"),
    ]


def test_many_disagreements_are_counted_not_listed(copy: Path) -> None:
    edit_index(copy, lambda weights: weights.update({f"ghost.{n:03d}": SECOND for n in range(200)}))
    names = "ghost.000, ghost.001, ghost.002 and 197 more"
    assert findings(copy) == [("C008", f"{SECOND} lacks 200 tensors that {INDEX} places there: {names}")]


def test_a_tensor_in_two_shards(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    write_shard(tmp_path / "model-00001-of-00002.safetensors", "a", "b")
    write_shard(tmp_path / "model-00002-of-00002.safetensors", "b")
    files = "model-00001-of-00002.safetensors and model-00002-of-00002.safetensors"
    assert findings(tmp_path) == [("C008", f"{files} both hold 1 tensor: b")]


def test_names_equal_but_for_case(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    write_shard(tmp_path / "model.safetensors", "a.Weight", "a.weight")
    assert findings(tmp_path) == [("C009", "two tensor names differ only in case: a.Weight and a.weight")]
    write_shard(tmp_path / "model.safetensors", "a")
    write_shard(tmp_path / "MODEL.safetensors", "b")
    index = {"weight_map": {"a": "model.safetensors", "b": "MODEL.safetensors"}}
    (tmp_path / INDEX).write_text(json.dumps(index))
    found = findings(tmp_path)
    assert ("C009", "two file names differ only in case: MODEL.safetensors and model.safetensors") in found


def test_every_problem_is_shown_at_once(copy: Path) -> None:
    (copy / "config.json").write_text("[]")
    (copy / SECOND).unlink()
    third = copy / "model-00003-of-00007.safetensors"
    os.truncate(third, third.stat().st_size - 1)
    write_shard(copy / "stray.safetensors", "old")
    assert sorted(code for code, _ in findings(copy)) == ["C002", "C006", "C007"]


_opened: list[str] | None = None


def _record(event: str, arguments: tuple[Any, ...]) -> None:
    if _opened is not None and event in ("open", "pickle.find_class", "exec", "compile"):
        _opened.append(f"{event} {arguments[0]}")


def test_nothing_but_config_index_and_headers_is_opened(copy: Path) -> None:
    global _opened  # noqa: PLW0603 - an audit hook stays for the life of the process; this switches it
    for name in ("pytorch_model.bin", "model.pt", "model.ckpt", "modeling.py"):
        (copy / name).write_bytes(b"\x80\x04cos\nsystem\n.")
    sys.addaudithook(_record)
    _opened = []
    try:
        open_folder(copy)
        opened = sorted(_opened)
    finally:
        _opened = None
    shards = [copy / f"model-{n:05d}-of-00007.safetensors" for n in range(1, 8)]
    assert opened == sorted(f"open {path}" for path in [copy / "config.json", copy / INDEX, *shards])
