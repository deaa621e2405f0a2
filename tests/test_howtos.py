"""The short how-tos show what their commands print: every one is run, beside a tiny checkpoint.

    python -m tests.test_howtos

writes the pages anew.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from dsv4recipe.checkpoint.synth import synthesize
from tests.test_examples import PACE, replayed

FOLDER = Path(__file__).parent.parent / "docs" / "how-to"
PAGES = ("own-recipe", "mac", "fine-tune", "pruned", "imatrix", "nonsense", "report")


@pytest.mark.parametrize("page", PAGES)
def test_the_page_shows_what_its_commands_print(page: str, tmp_path: Path, tiny_source: Path) -> None:
    (tmp_path / "checkpoint").symlink_to(tiny_source)
    said = (FOLDER / f"{page}.md").read_text(encoding="utf-8")
    assert PACE.sub("", replayed(said, tmp_path)) == PACE.sub("", said)
    assert "Traceback" not in said
    assert "error[U" not in said


if __name__ == "__main__":
    for name in PAGES:
        with tempfile.TemporaryDirectory() as place:
            synthesize(Path(place) / "checkpoint")
            file = FOLDER / f"{name}.md"
            file.write_text(replayed(file.read_text(encoding="utf-8"), Path(place)), encoding="utf-8")
