"""The command line, called in this process."""

from __future__ import annotations

import pytest

from dsv4recipe.cli.main import run

Captured = pytest.CaptureFixture[str]


def call(capsys: Captured, *arguments: object) -> tuple[int, str, str]:
    """Its exit code, and what it wrote to stdout and stderr."""
    code = run([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err
