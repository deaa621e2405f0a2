"""`calibrate` from the command line on the yardstick: the record, the importance file, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsv4recipe.cli.main import run
from dsv4recipe.importance.read import load_importance
from dsv4recipe.records.names import ENTRIES
from dsv4recipe.records.read import load_record
from tests.measuring import YARDSTICK, needs_torch

pytestmark = needs_torch
SOURCE = YARDSTICK / "checkpoint"
TEXT = YARDSTICK / "calib.npy"
Captured = pytest.CaptureFixture[str]


def calibrate(out: Path, *more: object) -> int:
    given = ["calibrate", SOURCE, "--text", TEXT, "--length", 256, "--tokens", 1024, "-o", out, *more]
    return run([str(each) for each in given])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record of everything, and an importance file beside it."""
    folder = tmp_path_factory.mktemp("made")
    assert calibrate(folder / "record", "--modules", "all", "--imatrix", folder / "imatrix.gguf") == 0
    return folder


def test_the_record_holds_what_was_asked_for(made: Path) -> None:
    found = load_record(made / "record")
    assert found.tokens == 1024
    assert found.manifest["entries"] == list(ENTRIES)
    assert {layer for layer in found.layers if layer is not None} == set(range(6))
    assert all(counts.sum() == 2 * 1024 for _, counts in found.coverage())


def test_the_same_text_gives_the_same_record_and_says_how_it_covers_the_experts(
    made: Path, tmp_path: Path, capsys: Captured
) -> None:
    assert calibrate(tmp_path / "again", "--modules", "all") == 0
    out, err = capsys.readouterr()
    sha256 = load_record(made / "record").sha256
    assert sha256 in out
    assert "effective rank" in out
    assert "1,024 tokens: the record takes" in err


def test_the_importance_file_says_what_the_record_says(made: Path) -> None:
    found, given = load_record(made / "record"), load_importance(made / "imatrix.gguf")
    for projection, width in (("w1", 256), ("w2", 256)):
        tensor = f"layers.3.ffn.experts.5.{projection}.weight"
        assert (given.columns(tensor, width) == found.columns(tensor, width)).all()


def test_an_output_that_is_there_is_refused(made: Path, capsys: Captured) -> None:
    assert calibrate(made / "record") != 0
    assert "K021" in capsys.readouterr().err


def test_what_was_calibrated_on_is_not_measured(made: Path, capsys: Captured) -> None:
    given = ["evaluate", "q4q8-calibrated", "--source", SOURCE, "--calibration", made / "record", "--text", TEXT]
    assert run([*map(str, given), "--length", "256", "--tokens", "1024"]) != 0
    assert "K024" in capsys.readouterr().err
