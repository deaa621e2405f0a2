"""Every code in the program has a line in docs/errors, and every line there a code in the program."""

from __future__ import annotations

import re
from pathlib import Path

import dsv4recipe

PACKAGE = Path(dsv4recipe.__file__).parent
PAGES = Path(__file__).parent.parent / "docs" / "errors"
CODE = re.compile(r"\b[RCFTPBVUIHAEKLMSW]\d{3}\b")
QUOTED = re.compile(r'["\[]([RCFTPBVUIHAEKLMSW]\d{3})["\]]')


def test_every_code_is_documented() -> None:
    used = {code for path in PACKAGE.rglob("*.py") for code in QUOTED.findall(path.read_text())}
    documented = {code for page in PAGES.glob("*.md") for code in CODE.findall(page.read_text())}
    assert used - documented == set()
    assert documented - used == set()
