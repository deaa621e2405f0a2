"""docs/how-to/plans.md: its recipes load and its commands print what it shows ("…" is any text in a line)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "how-to" / "plans.md"
BLOCK = re.compile(r"```(yaml|console)\n(.*?)```", re.DOTALL)


def run(command: str, folder: Path) -> str:
    """What a shell prints, both streams together, for `dsv4recipe` as it is installed here."""
    surroundings = os.environ | {"NO_COLOR": "1", "COLUMNS": "120", "DSV": sys.executable}
    script = f'dsv4recipe() {{ "$DSV" -m dsv4recipe "$@"; }}\n{command}'
    done = subprocess.run(
        ["sh", "-c", script],
        cwd=folder,
        env=surroundings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    return "\n".join(line.rstrip() for line in done.stdout.decode().splitlines())


def fits(shown: str, said: str) -> bool:
    pattern = ".*".join(re.escape(part) for part in shown.split("…"))
    return re.fullmatch(pattern, said) is not None


def test_the_page_shows_what_the_commands_print(tmp_path: Path) -> None:
    ran = 0
    for kind, body in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if kind == "yaml":
            name = body.splitlines()[0].removeprefix("# ")
            (tmp_path / name).write_text(body.split("\n", 1)[1], encoding="utf-8")
            continue
        for step in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
            command, _, shown = step.partition("\n")
            said = run(command, tmp_path)
            expected = [line.rstrip() for line in shown.rstrip().splitlines()]
            lines = said.rstrip().splitlines()
            assert len(lines) == len(expected), said
            for want, got in zip(expected, lines, strict=True):
                assert fits(want, got), f"{command}\npage: {want}\nsays: {got}"
            ran += 1
    assert ran == 11
