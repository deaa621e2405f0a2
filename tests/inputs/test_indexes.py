"""Indexes and the files beside them: overlays, indexes of another time, downloads that are not complete."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dsv4recipe import RecipeError, build, load_recipe, make_plan, open_checkpoint, verify
from dsv4recipe.cli.main import run
from dsv4recipe.errors import Diagnostic
from tests.inputs.sources import INDEX, Raw, edit_json, read_tensors, write_tensors

OVERLAY = "model-overlay-00001.safetensors"
CHANGED = ("layers.1.attn.wo_b.weight", "layers.2.attn.wo_b.weight")


def refused(place: Path) -> Diagnostic:
    with pytest.raises(RecipeError) as caught:
        open_checkpoint(place)
    (found,) = caught.value.diagnostics
    assert found.hint
    return found


def overlaid(source: Path) -> Path:
    """New numbers for two matrices in a file of their own; the old copies stay."""
    old = read_tensors(source)
    flipped = {name: Raw(old[name].dtype, old[name].shape, old[name].data[::-1]) for name in CHANGED}
    write_tensors(source / OVERLAY, flipped)
    edit_json(source / INDEX, lambda index: index["weight_map"].update(dict.fromkeys(CHANGED, OVERLAY)))
    return source


def test_the_index_decides_which_copy_is_used_and_says_so(
    source_copy: Path, tiny_source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = open_checkpoint(overlaid(source_copy))
    assert {tensor.file for tensor in checkpoint.tensors if tensor.name in CHANGED} == {OVERLAY}
    assert checkpoint.folder.bytes == open_checkpoint(tiny_source).folder.bytes
    (note,) = checkpoint.notes
    assert (note.code, note.severity) == ("C029", "warning")
    assert f"takes 2 tensors from {OVERLAY}; older copies in 2 other files are not used" in note.message
    assert note.notes[0].startswith(f"{CHANGED[0]}: {OVERLAY}, not model-")
    assert run(["inspect", str(source_copy)]) == 0
    assert "C029" in capsys.readouterr().out


def index(source: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((source / INDEX).read_text())["weight_map"]
    return found


def made(source: Path, out: Path) -> Path:
    checkpoint = open_checkpoint(source)
    return build(make_plan(load_recipe("q4q8"), checkpoint), checkpoint, out)


def digests(bundle: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in bundle.glob("model-*.safetensors")}


def test_a_bundle_of_an_overlay_is_that_of_the_same_tensors_alone(source_copy: Path, tmp_path: Path) -> None:
    first = made(overlaid(source_copy), tmp_path / "first")
    assert verify(first, source_copy).ok
    old, where = read_tensors(source_copy), index(source_copy)
    new = read_tensors_of(source_copy / OVERLAY)
    for file in sorted(source_copy.glob("model-0*.safetensors")):
        write_tensors(file, {name: old[name] for name, place in where.items() if place == file.name})
    write_tensors(source_copy / OVERLAY, new)
    assert open_checkpoint(source_copy).notes == ()
    assert digests(made(source_copy, tmp_path / "second")) == digests(first)


def read_tensors_of(path: Path) -> dict[str, Raw]:
    return {name: raw for name, raw in read_tensors(path.parent).items() if name in CHANGED}


def renamed(source: Path) -> None:
    edit_json(
        source / INDEX, lambda data: data.update(weight_map={n: f"old-{f}" for n, f in data["weight_map"].items()})
    )


def moved(source: Path) -> None:
    def change(data: dict[str, dict[str, str]]) -> None:
        files = sorted(set(data["weight_map"].values()))
        data["weight_map"] = {name: files[len(name) % len(files)] for name in data["weight_map"]}

    edit_json(source / INDEX, change)


def partial(source: Path) -> None:
    def change(data: dict[str, dict[str, str]]) -> None:
        data["weight_map"] = {n: f for n, f in data["weight_map"].items() if not n.startswith("layers.1.")}

    edit_json(source / INDEX, change)


@pytest.mark.parametrize("spoil", [renamed, moved, partial])
def test_an_index_that_is_not_that_of_the_files(spoil: Callable[[Path], None], source_copy: Path) -> None:
    spoil(source_copy)
    found = refused(source_copy)
    assert (found.code, found.hint) == ("C068", f"remove {INDEX}: a complete set needs none")
    (source_copy / INDEX).unlink()
    assert open_checkpoint(source_copy).groups


def test_a_download_that_is_not_complete_is_one_line(source_copy: Path) -> None:
    files = sorted(source_copy.glob("model-*.safetensors"))
    for path in files[1:3]:
        path.unlink()
    os.truncate(files[4], files[4].stat().st_size // 2)
    found = refused(source_copy)
    assert found.code == "C006"
    words = "the download is not complete: 2 of 7 files are not there and 1 is cut short, first model-00002-of-00007"
    assert found.message.startswith(words)
    assert len(found.notes) == 3
    cache = source_copy / ".cache" / "huggingface" / "download"
    cache.mkdir(parents=True)
    (cache / f"{files[1].name}.abc.incomplete").touch()
    assert f".cache/huggingface/download/{files[1].name}.abc.incomplete is what it was at" in refused(source_copy).hint
    (source_copy / INDEX).unlink()
    assert refused(source_copy).message.startswith("the download is not complete: ")
