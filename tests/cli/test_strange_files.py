"""Files of others in place of JSON: whatever they hold, the answer is a code and never a traceback."""

from __future__ import annotations

import shutil
from itertools import cycle
from pathlib import Path

import pytest

from dsv4recipe.cli.main import run

STRANGE = (
    b"",
    b"<html><body>Sign in</body></html>",
    b"{}",
    b"[]",
    b"null",
    b"7",
    b"\xff\xfe\x00",
    b"[" * 3000,
    b'{"a": 1, "a": 2}',
    b'{"a": NaN}',
    b'{"recipe": 1, "source": [], "files": 3, "model_type": {}, "weight_map": {"a": {}}, "eos_token_id": {}, '
    b'"added_tokens": 3, "model": {"vocab": []}, "plan": {}, "format_version": 1, "numbers": [1], "curve": [3]}',
)
Captured = pytest.CaptureFixture[str]


def answered(capsys: Captured, arguments: list[str], said: str) -> None:
    code = run(arguments)
    shown = capsys.readouterr()
    assert code in (0, 1, 3), (said, shown.err)
    assert "U999" not in shown.err, (said, shown.err)
    assert "Traceback" not in shown.err, (said, shown.err)
    if code == 1:
        assert "error[" in shown.err, (said, shown.err)


def test_of_a_source(source_copy: Path, tmp_path: Path, capsys: Captured) -> None:
    contents = cycle(STRANGE)
    for file in sorted(source_copy.glob("*.json")):
        before = file.read_bytes()
        for number in range(len(STRANGE)):
            content = next(contents)
            file.write_bytes(content)
            out = tmp_path / f"{file.name}-{number}"
            answered(capsys, ["plan", "jangtq2", "--source", str(source_copy)], f"{file.name} {content[:20]!r}")
            answered(
                capsys, ["build", "q4q8", "--source", str(source_copy), "-o", str(out), "--headers-only"], file.name
            )
        file.write_bytes(before)


@pytest.mark.parametrize("command", ["verify", "inspect", "diff", "decompile", "report", "fix-config"])
def test_of_a_bundle(command: str, spoiled: Path, q4q8_bundle: Path, tmp_path: Path, capsys: Captured) -> None:
    out = str(tmp_path / "out")
    arguments = {
        "verify": ["verify", str(spoiled)],
        "inspect": ["inspect", str(spoiled)],
        "diff": ["diff", str(spoiled), str(q4q8_bundle)],
        "decompile": ["decompile", str(spoiled), "-o", out, "--force"],
        "report": ["report", str(spoiled), "-o", out],
        "fix-config": ["verify", str(spoiled), "--fix-config", out],
    }[command]
    contents = cycle(STRANGE)
    for file in sorted(spoiled.glob("*.json")):
        before = file.read_bytes()
        for _ in range(3):
            content = next(contents)
            file.write_bytes(content)
            answered(capsys, arguments, f"{file.name} {content[:20]!r}")
        file.write_bytes(before)


def test_of_files_that_options_name(
    spoiled: Path, q4q8_bundle: Path, tiny_source: Path, tmp_path: Path, capsys: Captured
) -> None:
    strange, source = tmp_path / "strange.json", str(tiny_source)
    recipe = str(shutil.copy(q4q8_bundle / "recipe.yaml", tmp_path / "mine.yaml"))
    allocate = ["allocate", "q4q8", "--source", source, "--dry-run"]
    for content in STRANGE:
        strange.write_bytes(content)
        (tmp_path / "mine.lock").write_bytes(content)
        for arguments in (
            ["diff", str(strange), str(q4q8_bundle)],
            ["build", str(strange), "--source", source, "-o", str(tmp_path / "out")],
            ["report", str(q4q8_bundle), "-o", str(tmp_path / "page.html"), "--numbers", str(strange)],
            ["report", str(q4q8_bundle), "-o", str(tmp_path / "page.html"), "--allocation", str(strange)],
            ["lock", recipe, "--source", source, "--check"],
            [*allocate, "--errors", str(strange)],
            [*allocate, "--errors", "synthetic", "--sensitivity", str(strange)],
            ["plan", "q3-mixed", "--source", source, "--importance", str(strange)],
            ["build", "q4q8", "--source", source, "-o", str(tmp_path / "out"), "--source-sums", str(strange)],
        ):
            answered(capsys, arguments, f"{arguments} {content[:20]!r}")
