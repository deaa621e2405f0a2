"""Receipts: what was hashed and has not changed is not hashed again, and what has changed always is."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

import pytest

from dsv4recipe import verify
from dsv4recipe.cli.main import run
from dsv4recipe.cli.verify_view import folded
from dsv4recipe.errors import NOWHERE, Diagnostic
from dsv4recipe.verifier.receipt import receipt_of

OLD = time.time() - 3600


@pytest.fixture
def bundle(q4q8_bundle: Path, tmp_path: Path) -> Path:
    """A copy whose files were written an hour ago."""
    copy = Path(shutil.copytree(q4q8_bundle, tmp_path / "bundle"))
    for file in filter(Path.is_file, copy.rglob("*")):
        os.utime(file, (OLD, OLD))
    return copy


def facts(bundle: Path, full: bool = False) -> str:
    found = verify(bundle, receipt=True, full=full)
    return "; ".join(found.steps[0].facts)


def test_unchanged_files_are_not_hashed_again(bundle: Path) -> None:
    assert "by an earlier proof" not in facts(bundle)
    assert "by an earlier proof" in facts(bundle)
    assert "by an earlier proof" not in facts(bundle, full=True)


def test_a_changed_file_is_found_though_its_size_and_time_are_as_before(bundle: Path) -> None:
    facts(bundle)
    shard = next(bundle.glob("*.safetensors"))
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    assert not verify(bundle, receipt=True).ok, "its time has changed"
    os.utime(shard, (OLD, OLD))
    assert not verify(bundle, receipt=True).ok, "the sample holds the last block"


def test_a_file_just_written_is_hashed_again(q4q8_bundle: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(q4q8_bundle, tmp_path / "bundle"))
    for file in filter(Path.is_file, copy.rglob("*")):
        os.utime(file, (time.time() + 86_400, time.time() + 86_400))
    facts(copy)
    assert "by an earlier proof" not in facts(copy), "its time does not tell a later change from the copy"


def test_an_interrupted_proof_goes_on_from_the_files_it_hashed(bundle: Path) -> None:
    class StopError(Exception):
        pass

    def stop(event: dict[str, object]) -> None:
        if event["event"] == "checked" and float(str(event["done"])) > 0.9 * float(str(event["of"])):
            raise StopError

    with pytest.raises(StopError):
        verify(bundle, receipt=True, on_event=stop)
    assert receipt_of(bundle).files
    assert "by an earlier proof" in facts(bundle)


def test_a_receipt_that_cannot_be_written_or_read_harms_nothing(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file", encoding="utf-8")
    monkeypatch.setenv("DSV4RECIPE_CACHE", str(blocked))
    assert "no receipt could be kept" in facts(bundle)
    assert verify(bundle, receipt=True).ok
    monkeypatch.setenv("DSV4RECIPE_CACHE", str(tmp_path / "cache"))
    facts(bundle)
    receipt_of(bundle).path.write_text("{", encoding="utf-8")
    assert "by an earlier proof" not in facts(bundle)


def test_steps_are_told_in_order_with_their_progress(bundle: Path, tiny_source: Path) -> None:
    told: list[str] = []
    verify(
        bundle,
        tiny_source,
        on_event=lambda event: told.append(event["step"].name if event["event"] == "step_done" else event["name"]),
    )
    assert list(dict.fromkeys(told)) == ["integrity", "contract", "numbers"]
    assert told.count("numbers") > 10


def test_a_runtime_that_is_not_there_is_not_run(
    bundle: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{os.path.realpath(sys.executable)}" -S "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    assert run(["verify", str(bundle), "--runtime", "vmlx", "--runtime-python", str(python)]) == 4
    out = capsys.readouterr().out
    assert "not run: runtime vmlx" in out
    assert "dsv4recipe runtimes install vmlx" in out
    assert "verification failed" not in out


def test_findings_of_one_kind_are_one_with_patterns() -> None:
    found = [
        Diagnostic("V302", f"model.layers.{n}.mlp.gate: planned lossless, but off by up to 0.{n}", NOWHERE, "build")
        for n in range(40)
    ]
    (one,) = folded(found)
    assert one.notes == ("40 findings like this one, about:", "model.layers.{0-39}.mlp.gate ×40")
    assert folded(found[:2]) == found[:2]
