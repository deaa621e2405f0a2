"""The examples run as they stand, and show what really comes out.

After an intended change of output: `python -m tests.test_examples` writes the new one into the examples' README.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

EXAMPLES = Path(__file__).parent.parent / "examples"
FLOW = EXAMPLES / "team-flow"
BLOCK = re.compile(r"(```console\n)(.*?)(```)", re.DOTALL)


def test_ten_lines(tiny_source: Path, tmp_path: Path) -> None:
    command = [sys.executable, EXAMPLES / "ten_lines.py", tiny_source, tmp_path / "out"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert shown == [
        "6,517,360 bytes, 7.6527 bits per weight, 1 shard(s)",
        "against q4q8-per-expert: 3 groups of modules are laid out differently",
        f"{tmp_path / 'out'}: verified",
    ]


PACE = re.compile(r"^in \d.*: .*B/s.*$|(?<= %), .*B/s.*$", re.MULTILINE)
"""How long a build took, and at which rate: that of whoever made the page."""


def replayed(text: str, folder: Path) -> str:
    """The document with every `$ command` of its console blocks run in `folder`, and what came out of it below."""
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "120",
    }
    environment["NO_COLOR"] = "1"

    def run(block: re.Match[str]) -> str:
        lines = []
        for command in re.findall(r"^\$ (.*)$", block[2], re.MULTILINE):
            done = subprocess.run(
                command, shell=True, cwd=folder, env=environment, text=True, check=False,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
            lines += [f"$ {command}", *(line.rstrip() for line in done.stdout.splitlines())]
        return "".join((block[1], *(f"{line}\n" for line in lines), block[3]))

    return BLOCK.sub(run, text)


def team_flow(folder: Path) -> tuple[str, str]:
    """(what the README of the team's flow says, what it says when it is run)."""
    text = (FLOW / "README.md").read_text(encoding="utf-8")
    copy = Path(shutil.copytree(FLOW, folder / "team-flow"))
    return text, replayed(text, copy)


def test_the_team_flow_is_what_comes_out(tmp_path: Path) -> None:
    said, seen = team_flow(tmp_path)
    assert PACE.sub("", seen) == PACE.sub("", said)
    flow = tmp_path / "team-flow"
    assert "relative RMSE" in (flow / "report.html").read_text(encoding="utf-8")
    assert (flow / "bundle" / "dsv4recipe.manifest.json").is_file()
    assert "error[U" not in said


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        (FLOW / "README.md").write_text(team_flow(Path(folder))[1], encoding="utf-8")
