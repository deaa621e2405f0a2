"""File names from an index or a listing: what passes the gate, what does not, links included."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsv4recipe.errors import RecipeError
from dsv4recipe.headers.safe_path import path_problem, safe_path

UNSAFE = {
    "": "it is empty",
    "../x.safetensors": 'it leaves its folder with ".."',
    "a/../../x": 'it leaves its folder with ".."',
    "/etc/passwd": "it is an absolute path",
    "//server/share/x": "it is an absolute path",
    "\\\\server\\share\\x": "it holds a backslash",
    "..\\x": "it holds a backslash",
    "C:x": "it names a drive",
    "C:/x": "it names a drive",
    "file.safetensors:stream": "it holds a colon",
    "a\0b": "it holds a character that cannot be printed",
    "a\nb": "it holds a character that cannot be printed",
    "a\x7fb": "it holds a character that cannot be printed",
    "\ud800": "it holds a character that cannot be printed",
    "a//b": "it holds an empty segment",
    "./a": "it holds an empty segment",
    "a/": "it holds an empty segment",
    "x" * 256: "a part of it is longer than 255 bytes",
    "ü" * 128: "a part of it is longer than 255 bytes",
    "a/" * 2100 + "a": "it is longer than 4,096 characters",
    "a./b": "a part of it ends in a dot or a space",
    "a ": "a part of it ends in a dot or a space",
}


@pytest.mark.parametrize("name", UNSAFE, ids=lambda name: ascii(name)[:24])
def test_unsafe_names_are_refused_with_their_reason(tmp_path: Path, name: str) -> None:
    assert path_problem(name) == UNSAFE[name]
    with pytest.raises(RecipeError) as caught:
        safe_path(tmp_path, name, "the.index.json")
    (found,) = caught.value.diagnostics
    assert (found.code, found.where.file) == ("C005", "the.index.json")
    assert found.message.endswith(f" is refused: {UNSAFE[name]}")


def test_plain_names_pass(tmp_path: Path) -> None:
    for name in ("model-00001-of-00046.safetensors", "sub/моdel.safetensors", "x" * 255, "..a", "a b"):
        assert safe_path(tmp_path, name, "i") == tmp_path / name


def test_links_must_stay_inside(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "inner").mkdir(parents=True)
    (tmp_path / "outside").write_text("x")
    (tmp_path / "rootless").mkdir()
    (root / "out").symlink_to(tmp_path / "outside")
    (root / "sibling").symlink_to(tmp_path / "rootless")  # shares the letters of the root's name, not its place
    (root / "up").symlink_to(tmp_path)
    (root / "loop").symlink_to(root / "loop")
    (root / "in").symlink_to("inner")
    assert safe_path(root, "in", "i") == root / "in"
    assert safe_path(root, "up/root/inner", "i") == root / "up/root/inner"
    for name in ("out", "sibling", "up/outside"):
        with pytest.raises(RecipeError, match="out of the folder"):
            safe_path(root, name, "i")
    with pytest.raises(RecipeError, match="it is a link"):
        safe_path(root, "loop", "i")


def test_a_hub_cache_snapshot_may_link_to_its_own_blobs_only(tmp_path: Path) -> None:
    repository = tmp_path / "models--deepseek-ai--DeepSeek-V4-Flash"
    snapshot = repository / "snapshots" / "6e763230"
    snapshot.mkdir(parents=True)
    (repository / "blobs").mkdir()
    (repository / "blobs" / "abc").write_text("x")
    (repository / "refs").write_text("x")
    (snapshot / "good").symlink_to("../../blobs/abc")
    (snapshot / "bad").symlink_to("../../refs")
    assert safe_path(snapshot, "good", "i").read_text() == "x"
    with pytest.raises(RecipeError, match="out of the folder"):
        safe_path(snapshot, "bad", "i")
