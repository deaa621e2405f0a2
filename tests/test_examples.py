"""The examples run as they stand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_ten_lines(tiny_source: Path, tmp_path: Path) -> None:
    command = [sys.executable, EXAMPLES / "ten_lines.py", tiny_source, tmp_path / "out"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert shown == [
        "6,517,360 bytes, 7.6527 bits per weight, 1 shards",
        "against q4q8-per-expert: 3 groups of modules are laid out differently",
        f"{tmp_path / 'out'}: verified",
    ]
